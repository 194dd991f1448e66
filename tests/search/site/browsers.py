"""Chromium without a window, and servers whose pages it opens.

browser = Browser(folder)                            # Debian's chromium and chromium-driver
with served("serve", str(atlas)) as home:            # a process of its own; running(app): a thread of this one
    browser.open(home)
    browser.find("h1").text, browser.faults()        # what the page says, what it complained of
"""

import json
import os
import shutil
import socket
import subprocess
import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from threading import Thread
from typing import Any
from urllib.parse import urlsplit

import uvicorn
from axe_core_python.selenium import Axe
from selenium import webdriver
from selenium.common.exceptions import StaleElementReferenceException
from selenium.webdriver.chrome.service import Service
from selenium.webdriver.common.action_chains import ActionChains
from selenium.webdriver.common.by import By
from selenium.webdriver.remote.webelement import WebElement
from selenium.webdriver.support.ui import WebDriverWait
from starlette.types import ASGIApp

CHROMIUM = shutil.which("chromium") or shutil.which("chromium-browser") or shutil.which("google-chrome")
DRIVER = shutil.which("chromedriver")
OPTIONS = ("headless", "disable-gpu", "disable-quic", "no-first-run", "disable-background-networking")
OPTIONS += ("disable-component-update", "disable-sync", "disable-dev-shm-usage", "window-size=1280,900")
PATIENCE = 60
"Seconds until a page or a server that does not come is given up."


class Browser:
    """One window, and all that its pages asked for and complained of."""

    def __init__(self, folder: Path) -> None:
        options = webdriver.ChromeOptions()
        options.binary_location = str(CHROMIUM)
        for name in (*OPTIONS, f"user-data-dir={folder}", *(["no-sandbox"] if os.geteuid() == 0 else [])):
            options.add_argument(f"--{name}")
        options.set_capability("goog:loggingPrefs", {"browser": "ALL", "performance": "ALL"})
        self.driver = webdriver.Chrome(options=options, service=Service(DRIVER))
        self.driver.set_page_load_timeout(PATIENCE)
        self._axe, self._homes = Axe(), set[str]()

    def begin(self) -> None:
        """An empty window of a desk's width, nothing kept, nothing complained of."""
        self.emulate()
        self.driver.get("about:blank")
        for home in self._homes:
            self._tell("Storage.clearDataForOrigin", origin=home, storageTypes="all")
        self._homes.clear()
        self.faults()

    def emulate(self, width: int = 1280, dark: bool = False, scripts: bool = True) -> None:
        """Whose window it is; scripts act from the next page on."""
        phone = {"width": width, "height": 900, "deviceScaleFactor": 1, "mobile": width < 600}
        self._tell("Emulation.setDeviceMetricsOverride", **phone)
        scheme = {"name": "prefers-color-scheme", "value": "dark" if dark else "light"}
        self._tell("Emulation.setEmulatedMedia", features=[scheme])
        self._tell("Emulation.setScriptExecutionDisabled", value=not scripts)

    def open(self, address: str) -> None:
        """Go to a page; requests to where it lies are expected from now on."""
        parts = urlsplit(address)
        self._homes.add(f"{parts.scheme}://{parts.netloc}" if parts.netloc else address.rpartition("/")[0])
        self.driver.get(address)

    @property
    def path(self) -> str:
        """The address without the server."""
        return urlsplit(self.driver.current_url).path

    def find(self, selector: str) -> WebElement:
        """The first element, waited for."""
        return self.until(lambda: self.all(selector))[0]

    def all(self, selector: str) -> list[WebElement]:
        """Those that are there now."""
        return self.driver.find_elements(By.CSS_SELECTOR, selector)

    def texts(self, selector: str) -> list[str]:
        """What they say to people."""
        return [each.text for each in self.all(selector)]

    def until(self, holds: Callable[[], Any]) -> Any:
        """What `holds` gives once it is true."""
        gone = [StaleElementReferenceException]  # the page changed while it was read
        return WebDriverWait(self.driver, PATIENCE, 0.03, gone).until(lambda _: holds())

    def press(self, *keys: str) -> None:
        """Type, wherever the focus is."""
        ActionChains(self.driver).send_keys(*keys).perform()

    def drop(self, file: Path, selector: str) -> None:
        """Drag a file from elsewhere onto an element."""
        place = self.runs(f"document.querySelector({selector!r}).getBoundingClientRect().toJSON()")
        data = {"items": [], "files": [str(file)], "dragOperationsMask": 1}
        for kind in ("dragEnter", "dragOver", "drop"):
            self._tell("Input.dispatchDragEvent", type=kind, x=place["x"] + 5, y=place["y"] + 5, data=data)

    def runs(self, script: str) -> Any:
        """What a piece of script returns."""
        return self.driver.execute_script(f"return {script}")

    def barriers(self, *rules: str) -> list[str]:
        """What axe finds to keep people out, by all of its rules or by some."""
        found = self._axe.run(self.driver, options={"runOnly": list(rules)} if rules else None)["violations"]
        return [f"{self.path} {each['id']} {node['html'][:200]}" for each in found for node in each["nodes"]]

    def faults(self) -> list[str]:
        """What the console has and every request beyond the pages' own servers, since it was asked last."""
        told = [each["message"] for each in self.driver.get_log("browser")]
        events = [json.loads(each["message"])["message"] for each in self.driver.get_log("performance")]
        sent = [each["params"]["request"]["url"] for each in events if each["method"] == "Network.requestWillBeSent"]
        own = (*self._homes, "data:", "about:")
        return told + [address for address in sent if not address.startswith(own)]

    def _tell(self, command: str, **values: Any) -> None:
        self.driver.execute_cdp_cmd(command, values)


@contextmanager
def served(*verb: str) -> Iterator[tuple[str, subprocess.Popen[str]]]:
    """The first page of a verb that serves, and its process."""
    command = [sys.executable, "-c", "from describer.cli import app; app()", *verb, "--port", "0"]
    with subprocess.Popen(command, stderr=subprocess.PIPE, text=True) as process:
        try:
            assert process.stderr is not None
            line = process.stderr.readline()
            assert line.startswith("http://"), line + process.stderr.read()
            yield line.split()[0], process
        finally:
            process.kill()


@contextmanager
def running(app: ASGIApp) -> Iterator[str]:
    """The first page of an application."""
    listener = socket.create_server(("127.0.0.1", 0))
    server = uvicorn.Server(uvicorn.Config(app, log_level="warning", lifespan="off"))
    thread = Thread(target=server.run, args=([listener],))
    thread.start()
    try:
        yield f"http://127.0.0.1:{listener.getsockname()[1]}/"
    finally:
        server.should_exit = True
        thread.join()
