"""What pyproject.toml cannot say: the template project becomes a part of the package, and nothing is left here."""

import atexit
import shutil
import tempfile

from setuptools import find_packages, setup

TEMPLATE = "template_project_for_model"
# build/ is where models' products lie, and a stale build/lib would be installed again.
scratch = tempfile.mkdtemp(prefix="esp_tvm_setup_")
atexit.register(shutil.rmtree, scratch, ignore_errors=True)

setup(
    packages=[*find_packages("tools", include=["esp_tvm", "esp_tvm.*"]), f"esp_tvm.{TEMPLATE}"],
    package_dir={"": "tools", f"esp_tvm.{TEMPLATE}": TEMPLATE},
    package_data={
        "esp_tvm": [f"**/*.{suffix}" for suffix in ("c", "h", "S", "ld", "css", "js", "j2", "html", "json")],
        f"esp_tvm.{TEMPLATE}": ["**/*", "**/.*"],
    },
    exclude_package_data={f"esp_tvm.{TEMPLATE}": ["build/**", "**/__pycache__/**"]},
    options={"build": {"build_base": scratch}, "egg_info": {"egg_base": scratch}},
)
