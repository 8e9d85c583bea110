/* The first line of the input is the Content-Type, its next byte the size of the pieces fed. */
#include "fuzz.h"

#include <string.h>

#include "http/http.h"

struct heard {
	bool open; /* between on_part_begin and on_part_end */
};

static nx_rc on_begin(void *payload, const char *type, const char *location, struct nx_err *err)
{
	struct heard *heard = payload;

	(void)err;
	FUZZ_CHECK(!heard->open);
	FUZZ_CHECK(!type || strlen(type) < 65536);
	FUZZ_CHECK(!location || strlen(location) < 65536);
	heard->open = true;
	return NX_OK;
}

static nx_rc on_data(void *payload, struct nx_slice bytes, struct nx_err *err)
{
	const struct heard *heard = payload;

	(void)err;
	FUZZ_CHECK(heard->open && bytes.n > 0);
	return NX_OK;
}

static nx_rc on_end(void *payload, struct nx_err *err)
{
	struct heard *heard = payload;

	(void)err;
	FUZZ_CHECK(heard->open);
	heard->open = false;
	return NX_OK;
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	static const struct nx_multipart_cb cb = {on_begin, on_data, on_end};
	const uint8_t *eol = size ? memchr(data, '\n', size) : NULL;
	NX_AUTO_MEM char *type = NULL;
	NX_AUTO(nx_multipart) *mp = NULL;
	struct heard heard = {false};
	size_t step, take;

	if (!eol || eol + 1 == data + size)
		return 0;
	type = strndup((const char *)data, (size_t)(eol - data));
	step = (size_t)eol[1] + 1;
	size -= (size_t)(eol + 2 - data);
	data = eol + 2;
	if (!type || nx_multipart_new(type, &cb, &heard, &mp, NULL))
		return 0;
	for (; size; data += take, size -= take) {
		take = size < step ? size : step;
		if (nx_multipart_feed(mp, data, take, NULL))
			return 0;
	}
	if (nx_multipart_finish(mp, NULL) == NX_OK)
		FUZZ_CHECK(!heard.open);
	return 0;
}
