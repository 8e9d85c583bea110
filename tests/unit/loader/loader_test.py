"""The Python package over libnarthex, against lease_serve.  Arguments: lease_serve, libnarthex.so, python/."""
import hashlib
import io
import json
import os
import pathlib
import subprocess
import sys
import unittest

SERVE, LIBRARY, PACKAGE = sys.argv[1:4]
os.environ["NARTHEX_LIBRARY"] = LIBRARY
sys.path.insert(0, PACKAGE)
import narthex  # noqa: E402
import pydicom  # noqa: E402

PLANTED = (b"ALPHA", b"BETA", b"SENDER", b"ACME", b"19601231", b"20240229", b"1.2.77.")


class Loader(unittest.TestCase):
    def setUp(self):
        env = {name: value for name, value in os.environ.items() if name != "LD_PRELOAD"}
        self.serve = subprocess.Popen([SERVE], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True, env=env)
        self.about = json.loads(self.serve.stdout.readline())

    def tearDown(self):
        self.serve.stdin.write("quit\n")
        self.serve.stdin.close()
        self.assertEqual(self.serve.wait(60), 0)
        self.serve.stdout.close()

    def command(self, word):
        self.serve.stdin.write(word + "\n")
        self.serve.stdin.flush()
        self.assertEqual(self.serve.stdout.readline(), "done\n")

    def open(self, release="lung-ct@v1", **options):
        options = {"site": self.about["site"], "token": "secret", "verifier": self.about["verifier"], **options}
        return narthex.open(release, **options)

    def expected(self, position):
        return pathlib.Path(self.about["dir"], f"expected-{position}.dcm").read_bytes()

    def test_every_sample_is_exact(self):
        with self.open() as dataset:
            self.assertEqual(len(dataset), 4)
            self.assertEqual(dataset.release, "lung-ct@v1")
            self.assertEqual(len(dataset.root), 64)
            for position in range(4):
                key, data = dataset[position]
                self.assertIn(key[0], self.about["pseudonyms"])
                self.assertEqual(data, self.expected(position))

    def test_batches_hold_all_in_order(self):
        with self.open("lung-ct", batch=3) as dataset:
            batches = list(dataset)
            self.assertEqual([len(batch) for batch in batches], [3, 1])
            keys = [key for batch in batches for key, _ in batch]
            self.assertEqual(keys, sorted(keys))
            again = [hashlib.sha256(data).digest() for batch in dataset for _, data in batch]
            self.assertEqual(again, [hashlib.sha256(self.expected(i)).digest() for i in range(4)])

    def test_pydicom_reads_what_comes_and_finds_no_one(self):
        with self.open() as dataset:
            for (key, data), in dataset:
                for word in PLANTED:
                    self.assertNotIn(word, data)
                ds = pydicom.dcmread(io.BytesIO(data))
                self.assertEqual((ds.PatientID, ds.SeriesInstanceUID, ds.SOPInstanceUID), key)
                self.assertEqual(ds.PatientIdentityRemoved, "YES")
                self.assertEqual(ds.file_meta.MediaStorageSOPInstanceUID, ds.SOPInstanceUID)
                self.assertEqual(ds.BodyPartExamined or "", "")
                self.assertEqual(len(ds.ReferencedImageSequence), 1)
                self.assertGreaterEqual(len(ds.PixelData), 4096)

    def test_the_erased_are_skipped_and_told(self):
        with self.open(batch=8) as dataset:
            self.command("erase")
            batches = list(dataset)
            self.assertEqual([len(batch) for batch in batches], [2])
            self.assertEqual({key[0] for key, _ in batches[0]}, {self.about["pseudonyms"][1]})
            erased = 0
            for position in range(len(dataset)):
                try:
                    dataset[position]
                except narthex.Erased as gone:
                    self.assertEqual(gone.args[0][0], self.about["pseudonyms"][0])
                    erased += 1
            self.assertEqual(erased, 2)

    def test_a_damaged_pack_gives_no_bytes(self):
        packs = [path for path in pathlib.Path(self.about["dir"], "pool").rglob("*") if path.is_file()]
        with self.open() as dataset:
            for path in packs:
                with path.open("r+b") as file:
                    bulk = bytearray(file.read())
                    for at in range(4096 + 100, len(bulk), 4096):
                        bulk[at] ^= 1
                    file.seek(0)
                    file.write(bulk)
            with self.assertRaisesRegex(narthex.Error, "authenticate|manifest|extent"):
                for _ in dataset:
                    pass

    def test_a_pack_that_is_no_file_is_not_waited_for(self):
        with self.open() as dataset:
            for path in [path for path in pathlib.Path(self.about["dir"], "pool").rglob("*") if path.is_file()]:
                path.unlink()
                os.mkfifo(path)
            with self.assertRaisesRegex(narthex.Error, "not a file"):
                dataset[0]

    def test_refusals_say_why(self):
        with self.assertRaisesRegex(narthex.Error, "401"):
            self.open(token="wrong")
        with self.assertRaisesRegex(narthex.Error, "404"):
            self.open("no-such")
        with self.assertRaisesRegex(narthex.Error, "signature"):
            self.open(verifier=self.about["verifier"][:-8] + "AAAAAAA=")
        with self.assertRaisesRegex(narthex.Error, "https"):
            self.open(site="http://127.0.0.1:1")
        with self.assertRaisesRegex(narthex.Error, "talk"):
            self.open(site="unix:/nonexistent")


if __name__ == "__main__":
    unittest.main(argv=sys.argv[:1])
