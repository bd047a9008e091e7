"""Nodes for ComfyUI, made of what methods declare: a file in custom_nodes imports the two tables below.

    from motionkit.integrations.comfyui import NODE_CLASS_MAPPINGS, NODE_DISPLAY_NAME_MAPPINGS

They are in ComfyUI's classic form (`INPUT_TYPES`, `RETURN_TYPES`, `FUNCTION`). ComfyUI itself is no dependency: its
modules are taken where it runs.
"""

from motionkit.integrations.comfyui.nodes import NODE_CLASS_MAPPINGS as NODE_CLASS_MAPPINGS
from motionkit.integrations.comfyui.nodes import NODE_DISPLAY_NAME_MAPPINGS as NODE_DISPLAY_NAME_MAPPINGS
