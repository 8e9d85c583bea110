#include "base/enc.h"

#include <pthread.h>
#include <string.h>

#include "base/enc_priv.h"

void nx_hex_format(const void *p, size_t n, char *ret)
{
	static const char digits[] = "0123456789abcdef";
	const uint8_t *b = p;

	for (size_t i = 0; i < n; i++) {
		ret[2 * i] = digits[b[i] >> 4];
		ret[2 * i + 1] = digits[b[i] & 15];
	}
	ret[2 * n] = 0;
}

int nx_hex_digit(char c)
{
	if (c >= '0' && c <= '9')
		return c - '0';
	if (c >= 'a' && c <= 'f')
		return c - 'a' + 10;
	if (c >= 'A' && c <= 'F')
		return c - 'A' + 10;
	return -1;
}

bool nx_hex_parse(const char *s, void *ret, size_t n)
{
	uint8_t *b = ret;

	if (strlen(s) != 2 * n)
		return false;
	for (size_t i = 0; i < n; i++) {
		int hi = nx_hex_digit(s[2 * i]);
		int lo = nx_hex_digit(s[2 * i + 1]);

		if (hi < 0 || lo < 0)
			return false;
		b[i] = (uint8_t)(hi << 4 | lo);
	}
	return true;
}

enum {
	BASE64_PAD = 64
};

static const char base64_digits[] =
	"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/=";

void nx_base64_format(const void *p, size_t n, char *ret)
{
	const uint8_t *b = p;

	for (size_t i = 0; i < n; i += 3) {
		size_t left = n - i;
		uint32_t v = (uint32_t)b[i] << 16;

		if (left > 1)
			v |= (uint32_t)b[i + 1] << 8;
		if (left > 2)
			v |= b[i + 2];
		*ret++ = base64_digits[v >> 18];
		*ret++ = base64_digits[v >> 12 & 63];
		*ret++ = base64_digits[left > 1 ? v >> 6 & 63 : BASE64_PAD];
		*ret++ = base64_digits[left > 2 ? v & 63 : BASE64_PAD];
	}
	*ret = 0;
}

static int base64_digit(char c)
{
	const char *at = c ? strchr(base64_digits, c) : NULL;

	return at && *at != '=' ? (int)(at - base64_digits) : -1;
}

bool nx_base64_parse(const char *s, size_t n, void *ret, size_t cap, size_t *ret_n)
{
	uint8_t *b = ret;
	size_t out = 0;

	if (n % 4)
		return false;
	for (size_t i = 0; i < n; i += 4) {
		size_t pad = 0;
		uint32_t v = 0;

		if (i + 4 == n)
			pad = (size_t)(s[n - 1] == '=') +
				(size_t)(s[n - 1] == '=' && s[n - 2] == '=');
		for (size_t k = 0; k < 4; k++) {
			int d = k >= 4 - pad ? 0 : base64_digit(s[i + k]);

			if (d < 0)
				return false;
			v = v << 6 | (uint32_t)d;
		}
		if (out + 3 - pad > cap)
			return false;
		for (size_t k = 0; k < 3 - pad; k++)
			b[out++] = (uint8_t)(v >> (16 - 8 * k));
		if ((pad == 1 && v & 0xff) || (pad == 2 && v & 0xffff))
			return false;
	}
	*ret_n = out;
	return true;
}

static uint32_t crc_table[8][256];

static void crc_table_make(void)
{
	for (uint32_t i = 0; i < 256; i++) {
		uint32_t c = i;

		for (int k = 0; k < 8; k++)
			c = c & 1 ? c >> 1 ^ 0x82f63b78u : c >> 1;
		crc_table[0][i] = c;
	}
	for (int t = 1; t < 8; t++)
		for (uint32_t i = 0; i < 256; i++)
			crc_table[t][i] =
				crc_table[t - 1][i] >> 8 ^ crc_table[0][crc_table[t - 1][i] & 255];
}

uint32_t nx_crc32c_soft(uint32_t crc, const uint8_t *b, size_t n)
{
	static pthread_once_t once = PTHREAD_ONCE_INIT;

	(void)pthread_once(&once, crc_table_make);
	for (; n >= 8; b += 8, n -= 8) {
		uint64_t v;

		memcpy(&v, b, 8);
		v ^= crc;
		crc = 0;
		for (int t = 0; t < 8; t++)
			crc ^= crc_table[7 - t][v >> (8 * t) & 255];
	}
	for (; n; b++, n--)
		crc = crc >> 8 ^ crc_table[0][(crc ^ *b) & 255];
	return crc;
}

#ifdef __x86_64__
#include <nmmintrin.h>

__attribute__((target("sse4.2"))) static uint32_t crc_hard(uint32_t crc, const uint8_t *b, size_t n)
{
	uint64_t c = crc;

	for (; n >= 8; b += 8, n -= 8) {
		uint64_t v;

		memcpy(&v, b, 8);
		c = _mm_crc32_u64(c, v);
	}
	for (; n; b++, n--)
		c = _mm_crc32_u8((uint32_t)c, *b);
	return (uint32_t)c;
}
#endif

uint32_t nx_crc32c(uint32_t crc, const void *p, size_t n)
{
	crc = ~crc;
#ifdef __x86_64__
	if (__builtin_cpu_supports("sse4.2"))
		return ~crc_hard(crc, p, n);
#endif
	return ~nx_crc32c_soft(crc, p, n);
}

/* ---- UTF-8 ---- */

size_t nx_utf8_len(const uint8_t *s, size_t n)
{
	uint32_t c;
	size_t len;

	if (s[0] < 0x80)
		return 1;
	if (s[0] < 0xc2 || s[0] > 0xf4)
		return 0;
	len = s[0] < 0xe0 ? 2 : s[0] < 0xf0 ? 3 : 4;
	if (len > n)
		return 0;
	c = s[0] & (0x7fu >> len);
	for (size_t i = 1; i < len; i++) {
		if ((s[i] & 0xc0) != 0x80)
			return 0;
		c = c << 6 | (s[i] & 0x3fu);
	}
	if ((len == 3 && (c < 0x800 || (c >= 0xd800 && c <= 0xdfff))) ||
		(len == 4 && (c < 0x10000 || c > 0x10ffff)))
		return 0;
	return len;
}

bool nx_utf8_valid(const char *s, size_t n)
{
	const uint8_t *p = (const uint8_t *)s;
	size_t len;

	for (; n; p += len, n -= len) {
		len = nx_utf8_len(p, n);
		if (!len)
			return false;
	}
	return true;
}
