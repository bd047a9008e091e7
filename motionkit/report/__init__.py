"""What people look at: grids, contact sheets, and a page that opens from disk."""

from motionkit._moved import renamed
from motionkit.report.model import MethodResult as MethodResult
from motionkit.report.model import Report as Report
from motionkit.report.page import document as document
from motionkit.report.page import write_report as write_report
from motionkit.report.tiles import Panel as Panel
from motionkit.report.tiles import contact_sheet as contact_sheet
from motionkit.report.tiles import grid as grid

__getattr__ = renamed(__name__)
