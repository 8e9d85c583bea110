/* Texts of others: base64 and hexadecimal that parse must format back to themselves. */
#include "fuzz.h"

#include <string.h>

#include "base/auto.h"
#include "base/enc.h"

static void base64_check(const char *text, size_t n)
{
	NX_AUTO_MEM uint8_t *bytes = malloc(n ? n : 1);
	NX_AUTO_MEM char *back = malloc(NX_BASE64_LEN(n) + 1);
	size_t got;

	if (!bytes || !back || !nx_base64_parse(text, n, bytes, n, &got))
		return;
	FUZZ_CHECK(got <= n / 4 * 3);
	nx_base64_format(bytes, got, back);
	FUZZ_CHECK(strlen(back) == n && memcmp(back, text, n) == 0);
}

static void hex_check(const char *text, size_t n)
{
	NX_AUTO_MEM uint8_t *bytes = malloc(n ? n : 1);
	NX_AUTO_MEM char *terminated = malloc(n + 1);
	NX_AUTO_MEM char *back = malloc(n + 2);

	if (!bytes || !terminated || !back)
		return;
	memcpy(terminated, text, n);
	terminated[n] = 0;
	if (!nx_hex_parse(terminated, bytes, n / 2))
		return;
	nx_hex_format(bytes, n / 2, back);
	for (size_t i = 0; i < strlen(back); i++)
		FUZZ_CHECK(back[i] == (terminated[i] | 0x20));
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	base64_check((const char *)data, size);
	if (size)
		hex_check((const char *)data, size);
	return 0;
}
