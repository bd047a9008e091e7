"""Map the top-level folders methods/ and conf/ into the motionkit namespace; everything else is in pyproject.toml."""

from setuptools import find_packages, setup

setup(
    packages=[
        *find_packages(include=["motionkit", "motionkit.*"]),
        "motionkit.methods",
        *(f"motionkit.methods.{name}" for name in find_packages("methods")),
        "motionkit.conf",
    ],
    package_dir={"motionkit": "motionkit", "motionkit.methods": "methods", "motionkit.conf": "conf"},
    package_data={
        "motionkit": [
            "py.typed",
            "assets/**/*",
            "report/**/*.html",
            "report/**/*.css",
            "report/**/*.js",
            "ui/static/*",
        ],
        "motionkit.methods": ["**/*.json", "**/*.md", "**/*.safetensors"],
        "motionkit.conf": ["**/*.yaml"],
    },
    include_package_data=False,
)
