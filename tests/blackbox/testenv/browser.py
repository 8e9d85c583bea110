"""Debian's Chromium without a window, driven over WebDriver (W3C) by its chromedriver."""
import base64
import io
import re
import subprocess

import numpy
import requests
from PIL import Image

from .process import Deadline


class Browser:
    def __init__(self, folder, size=(1280, 900)):
        self.log = open(folder / "chromedriver.log", "w+b")
        self.driver = subprocess.Popen(["chromedriver", "--port=0"], stdout=subprocess.PIPE, stderr=self.log, text=True)
        self.http = requests.Session()
        self.http.trust_env = False
        try:
            self.root = f"http://127.0.0.1:{self._port()}"
            self.session = self._begin(folder, size)
        except BaseException:
            self._end_driver()
            raise

    def _begin(self, folder, size):
        options = {"binary": "/usr/bin/chromium", "args": [
            "--headless=new", "--no-sandbox", "--disable-gpu", "--disable-dev-shm-usage", "--no-first-run",
            "--disable-background-networking", "--disable-component-update", "--disable-sync", "--enable-unsafe-swiftshader",
            "--use-angle=swiftshader", "--ignore-certificate-errors", "--window-size=%d,%d" % size,
            f"--user-data-dir={folder / 'profile'}"]}
        wanted = {"capabilities": {"alwaysMatch": {"browserName": "chrome", "goog:chromeOptions": options}}}
        return self._call("POST", "/session", wanted)["sessionId"]

    def _port(self):
        for line in self.driver.stdout:
            found = re.search(r"successfully on port (\d+)", line)
            if found:
                return int(found.group(1))
        raise RuntimeError("chromedriver does not start")

    def _call(self, method, path, body=None):
        answer = self.http.request(method, self.root + path, json=body, timeout=120).json()["value"]
        if isinstance(answer, dict) and "error" in answer:
            raise RuntimeError(answer["message"])
        return answer

    def open(self, url):
        self._call("POST", f"/session/{self.session}/url", {"url": url})

    def forget(self):
        """What the page at hand has stored; and a window of its own for the next one."""
        if self.run("return location.protocol") != "data:":
            self.run("localStorage.clear(); sessionStorage.clear();")
        fresh = self._call("POST", f"/session/{self.session}/window/new", {"type": "tab"})["handle"]
        self._call("DELETE", f"/session/{self.session}/window")
        self._call("POST", f"/session/{self.session}/window", {"handle": fresh})

    def run(self, script, *args):
        return self._call("POST", f"/session/{self.session}/execute/sync", {"script": script, "args": list(args)})

    def screenshot(self):
        png = base64.b64decode(self._call("GET", f"/session/{self.session}/screenshot"))
        with Image.open(io.BytesIO(png)) as one:
            return numpy.array(one.convert("RGB"))

    def poll(self, check, seconds, what):
        """Until check() gives something that is true."""
        deadline = Deadline(seconds, step=0.1)
        while not (got := check()):
            deadline.wait(what)
        return got

    def close(self):
        try:
            self._call("DELETE", f"/session/{self.session}")
        finally:
            self._end_driver()

    def _end_driver(self):
        self.driver.terminate()
        self.driver.wait(30)
        self.driver.stdout.close()
        self.log.close()

    def __enter__(self):
        return self

    def __exit__(self, *_):
        self.close()
