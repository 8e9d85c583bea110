/* nx_dicom_dump FILE [BULK_MIN]: the data set of a file as DICOM JSON, bulk values as
 * "bulk:OFFSET,LENGTH". */
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/arena.h"
#include "base/buf.h"
#include "base/file.h"
#include "base/json.h"
#include "dicom/dicom.h"

static nx_rc bulk_uri(
	void *payload, const struct nx_elem *e, struct nx_buf *out, struct nx_err *err)
{
	(void)payload;
	(void)err;
	nx_buf_printf(out, "bulk:%llu,%llu", (unsigned long long)e->bulk_offset,
		(unsigned long long)e->bulk_length);
	return NX_OK;
}

static nx_rc dump(const char *path, uint32_t bulk_min, struct nx_err *err)
{
	NX_AUTO(nx_arena) *arena = nx_arena_new((size_t)1 << 30, NX_ARENA_WIPE);
	NX_AUTO_DONE(nx_buf) file;
	NX_AUTO_DONE(nx_buf) text;
	struct nx_dataset *ds = NULL;
	struct nx_json json;
	nx_rc rc;

	nx_buf_init(&file, (size_t)1 << 30, 0);
	nx_buf_init(&text, (size_t)1 << 30, 0);
	rc = nx_file_read(AT_FDCWD, path, &file, err);
	if (!rc)
		rc = nx_dataset_parse(nx_buf_slice(&file), NULL, bulk_min, arena, &ds, err);
	if (rc)
		return rc;
	nx_json_init(&json, &text);
	rc = nx_dataset_json(ds, &json, bulk_uri, NULL, arena, err);
	if (!rc)
		rc = nx_buf_check(&text, err);
	if (!rc && fwrite(text.data, 1, text.len, stdout) != text.len)
		rc = nx_err_set(err, NX_E_IO, "write");
	return rc;
}

int main(int argc, char **argv)
{
	struct nx_err err = {0};

	if (argc < 2)
		return 2;
	if (dump(argv[1], argc > 2 ? (uint32_t)strtoul(argv[2], NULL, 10) : 0, &err)) {
		(void)fprintf(stderr, "%s\n", nx_err_text(&err));
		return 1;
	}
	return 0;
}
