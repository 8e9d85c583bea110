/* Text of others: whatever the bytes and the character sets, UTF-8 comes out. */
#include "fuzz.h"

#include "base/buf.h"
#include "dicom/dicom.h"

/* Length of the character at `s`, 0 when it is none (RFC 3629). */
static size_t utf8_len(struct nx_slice s)
{
	uint8_t c = s.p[0], lo = 0x80, hi = 0xbf;
	size_t n = c < 0x80 ? 1 : c >= 0xc2 && c < 0xe0 ? 2 : c >= 0xe0 && c < 0xf0 ? 3 : 0;

	if (c >= 0xf0 && c < 0xf5)
		n = 4;
	if (n > s.n)
		return 0;
	if (c == 0xe0)
		lo = 0xa0;
	else if (c == 0xf0)
		lo = 0x90;
	else if (c == 0xed)
		hi = 0x9f;
	else if (c == 0xf4)
		hi = 0x8f;
	for (size_t i = 1; i < n; i++) {
		if (s.p[i] < (i == 1 ? lo : 0x80) || s.p[i] > (i == 1 ? hi : 0xbf))
			return 0;
	}
	return n;
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	static const uint16_t vrs[] = {NX_VR('P', 'N'), NX_VR('L', 'T'), NX_VR('L', 'O')};
	NX_AUTO_DONE(nx_buf) out;
	size_t n;

	nx_buf_init(&out, 1 << 20, 0);
	if (size < 2)
		return 0;
	n = data[1] % 96;
	n = n < size - 2 ? n : size - 2;
	if (nx_charset_decode(nx_slice(data + 2, n), vrs[data[0] % 3],
		    nx_slice(data + 2 + n, size - 2 - n), &out, NULL))
		return 0;
	for (size_t i = 0, len; i < out.len; i += len) {
		len = utf8_len(nx_slice(out.data + i, out.len - i));
		FUZZ_CHECK(len > 0);
	}
	return 0;
}
