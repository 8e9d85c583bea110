"""The servers that are compared, each started fresh in a folder of its own and gone afterwards."""
import json
import os
import pathlib
import shutil
import subprocess

import requests
from harness import RECORD, CannotMeasure, new_folder
from testenv import Narthex
from testenv.dcmtk import TUNED, StoreScp
from testenv.narthex import find_binary
from testenv.process import Process, free_port

# The class of a pack, docs/PACK-FORMAT.md: a byte of its header.
PACK_CLASS_AT, PACK_CLASSES = 14, {1: "small packs", 2: "bulk packs"}
# Where narthex answers DICOMweb, and the AE title it is called by.
NARTHEX_DICOMWEB, NARTHEX_AET = "/dicom-web", "NARTHEX"


def pack_class(path):
    with open(path, "rb") as pack:
        return PACK_CLASSES[pack.read(PACK_CLASS_AT + 1)[-1]]


class Peer:
    """`with` starts it; `dimse_port`, `aet` and `dicomweb` say where to send."""

    aet, dimse_port, dicomweb, headers = "ANY-SCP", None, None, {}

    def __init__(self, env=None):
        self.env = TUNED if env is None else env
        self.folder = None

    def __enter__(self):
        self.folder = new_folder(type(self).__name__.lower())
        try:
            self.start()
        except BaseException:
            self.__exit__()
            raise
        RECORD.command("server", self.process_of().child.args)
        return self

    def process_of(self):
        return self.process

    def __exit__(self, *_):
        try:
            self.stop()
        finally:
            shutil.rmtree(self.folder, ignore_errors=True)

    def count(self):
        """Instances it says it holds; None when it keeps none."""
        return None

    def parts(self):
        """(name, path) of all that it keeps on disk."""
        return []

    def notes(self):
        """What else tells about the space that it takes; asked while it runs."""
        return []

    def header_args(self):
        return [word for key, value in self.headers.items() for word in ("-H", f"{key}: {value}")]


class Discard(Peer):
    """storescp --ignore: what the client and the protocol cost when nothing is kept."""

    def start(self):
        self.server = StoreScp(self.folder / "log", env=self.env)
        self.server.__enter__()
        self.dimse_port = self.server.port

    def process_of(self):
        return self.server.process

    def stop(self):
        self.server.__exit__()


class Orthanc(Peer):
    """Orthanc with SQLite and its own defaults, on loopback, plain."""

    aet = "ORTHANC"
    process = None

    def start(self):
        self.dimse_port, http = free_port(), free_port()
        config = {
            "Name": "bench", "StorageDirectory": str(self.folder / "db"), "IndexDirectory": str(self.folder / "db"),
            "DicomAet": self.aet, "DicomPort": self.dimse_port, "HttpPort": http, "RemoteAccessAllowed": False,
            "AuthenticationEnabled": False, "DicomAlwaysAllowGet": True, "DicomAlwaysAllowFind": True,
            "Plugins": ["/usr/share/orthanc/plugins/libOrthancDicomWeb.so"],
            "DicomWeb": {"Enable": True, "Root": "/dicom-web/"},
        }
        (self.folder / "config.json").write_text(json.dumps(config, indent=1))
        self.base = f"http://127.0.0.1:{http}"
        self.dicomweb = self.base + "/dicom-web"
        self.process = Process(["Orthanc", self.folder / "config.json"], self.folder / "log", env=self.env)
        self.process.wait_listening(http)
        self.process.wait_listening(self.dimse_port)

    def stop(self):
        if self.process:
            process, self.process = self.process, None
            process.stop(seconds=120)

    def parts(self):
        """Its files, and the index's."""
        folder = self.folder / "db"
        return [("index" if path.name.startswith("index") else "files", path) for path in folder.iterdir()]

    def count(self):
        return requests.get(self.base + "/statistics", timeout=60).json()["CountInstances"]


class Dcmqrscp(Peer):
    """DCMTK's archive: plain files and an index without a database."""

    aet = "DCMQRSCP"
    process = None

    def __init__(self, sink_port, env=None):
        super().__init__(env)
        self.sink_port = sink_port

    def start(self):
        self.dimse_port = free_port()
        (self.folder / "db").mkdir()
        (self.folder / "config").write_text(
            f"NetworkTCPPort = {self.dimse_port}\nMaxPDUSize = 131072\nMaxAssociations = 16\n"
            f"HostTable BEGIN\nsink = (SINK, localhost, {self.sink_port})\nHostTable END\n"
            f"AETable BEGIN\n{self.aet} {self.folder / 'db'} RW (100, 16384mb) ANY\nAETable END\n")
        self.process = Process(["dcmqrscp", "-c", self.folder / "config"], self.folder / "log", env=self.env)
        self.process.wait_listening(self.dimse_port)

    def destination(self, ae, port):
        """It is in the configuration."""

    def stop(self):
        if self.process:
            process, self.process = self.process, None
            process.kill()  # it has no orderly end

    def count(self):
        return sum(1 for path in (self.folder / "db").iterdir() if path.suffix == ".dcm")


class Nginx(Peer):
    """Static files over TLS 1.3: what reading costs without a catalog, a ledger or keys."""

    process = None

    def __init__(self, root, env=None):
        super().__init__(env)
        self.root = pathlib.Path(root)

    def start(self):
        port = free_port()
        key, cert = self.folder / "key.pem", self.folder / "cert.pem"
        made = subprocess.run(["openssl", "req", "-x509", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:P-256",
                               "-nodes", "-days", "2", "-subj", "/CN=127.0.0.1", "-keyout", key, "-out", cert],
                              capture_output=True, text=True, check=False)
        if made.returncode:
            raise CannotMeasure(f"openssl: {made.stderr[-500:]}")
        temporary = "".join(f"  {name}_temp_path {self.folder}/{name};\n"
                            for name in ("client_body", "proxy", "fastcgi", "uwsgi", "scgi"))
        (self.folder / "nginx.conf").write_text(
            f"daemon off;\nworker_processes auto;\npid {self.folder}/pid;\nerror_log {self.folder}/error.log;\n"
            + ("user root;\n" if os.geteuid() == 0 else "") +  # else its workers may not read the files
            "events { worker_connections 1024; }\nhttp {\n  access_log off;\n  sendfile on;\n  tcp_nopush on;\n"
            f"{temporary}  server {{\n    listen 127.0.0.1:{port} ssl;\n    ssl_protocols TLSv1.3;\n"
            f"    ssl_certificate {cert};\n    ssl_certificate_key {key};\n    root {self.root};\n  }}\n}}\n")
        self.base = f"https://127.0.0.1:{port}"
        self.process = Process(["nginx", "-p", self.folder, "-e", self.folder / "error.log", "-c",
                                self.folder / "nginx.conf"], self.folder / "log", env=self.env)
        self.process.wait_listening(port)

    def stop(self):
        if self.process:
            self.process.stop()


class Ours(Peer):
    """The release build, as delivered: encryption, audit and integrity on."""

    aet = NARTHEX_AET
    server = None

    def __init__(self, build, env=None, role="modality"):
        super().__init__(env)
        self.build, self.role = build, role

    def start(self):
        self.server = Narthex(self.folder / "nx", binary=find_binary(self.build), env=self.env,
                              init_args=["--allow-ae", f"TESTENV=clinical/{self.role}"])
        self.server.__enter__()
        self.dimse_port = self.server.ports["dimse"]
        self.dicomweb = self.server.url(NARTHEX_DICOMWEB)
        self.headers = {"Authorization": f"Bearer {self.server.token}"}

    def process_of(self):
        return self.server.process

    def stop(self):
        if self.server and self.server.process:
            self.note_peak()
            self.server.stop(seconds=120)

    def destination(self, ae, port):
        self.server.cli("destination", "set", ae, "127.0.0.1", port, "--plain", "--site", self.server.site)

    def note_peak(self):
        if self.server.process.alive:
            RECORD.peak_rss = max(RECORD.peak_rss, self.server.process.peak_rss_bytes())

    def status(self):
        answer = self.server.session().get(self.server.url("/api/v1/status", "management"), timeout=120)
        answer.raise_for_status()
        return answer.json()

    def count(self):
        """A tally of the index: what is not in it was not ingested."""
        return self.status()["holds"]["items"]

    def notes(self):
        groups = self.status()["commits"]["groups"]
        return [f"{groups} commit groups: each is padded to whole blocks of 4096 bytes"]

    def parts(self):
        """Everything of the site's folder."""
        names = {"catalog.db": "catalog", "catalog.db-wal": "catalog log", "ledger": "ledger", "keys1": "keys",
                 "keys2": "keys"}
        folder = self.server.site
        rest = [(names.get(path.name, "other"), path) for path in folder.iterdir() if path.name != "pool"]
        return rest + [(pack_class(path), path) for path in folder.glob("pool/*/*.nxp")]
