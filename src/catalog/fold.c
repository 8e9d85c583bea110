#include "base/arena.h"
#include "base/enc.h"
#include "catalog/catalog_priv.h"

/*
 * Person names are matched without regard to case and accents (PS3.4 C.2.2.2.1 leaves both to the
 * implementation).  Latin letters lose their accents, Greek and Cyrillic become capitals, other
 * scripts have no case and stay.
 */

/* U+00C0 to U+017F; '.' stays as it is, digits are the two-letter ones below. */
static const char latin[] = "AAAAAA1CEEEEIIIIDNOOOOO.OUUUUY23"
			    "AAAAAA1CEEEEIIIIDNOOOOO.OUUUUY2Y"
			    "AAAAAACCCCCCCCDDDDEEEEEEEEEEGGGG"
			    "GGGGHHHHIIIIIIIIII44JJKK.LLLLLLL"
			    "LLLNNNNNN...OOOOOO55RRRRRRSSSSSS"
			    "SSTTTTTTUUUUUUUUUUUUWWYYYZZZZZZS";
static const char pairs[][3] = {"", "AE", "TH", "SS", "IJ", "OE"};

_Static_assert(sizeof(latin) - 1 == 0x180 - 0xc0, "one letter per code point");

static void put_utf8(struct nx_buf *out, uint32_t c)
{
	if (c < 0x80) {
		nx_buf_put_u8(out, (uint8_t)c);
	} else {
		nx_buf_put_u8(out, (uint8_t)(0xc0 | c >> 6));
		nx_buf_put_u8(out, (uint8_t)(0x80 | (c & 0x3f)));
	}
}

/* A code point below U+0800; false: keep the bytes. */
static bool fold_point(uint32_t c, struct nx_buf *out)
{
	if (c >= 'a' && c <= 'z') {
		nx_buf_put_u8(out, (uint8_t)(c - 32));
	} else if (c >= 0xc0 && c < 0x180 && latin[c - 0xc0] != '.') {
		char l = latin[c - 0xc0];

		if (l >= '1' && l <= '5')
			nx_buf_put_str(out, pairs[l - '0']);
		else
			nx_buf_put_u8(out, (uint8_t)l);
	} else if (c >= 0x3b1 && c <= 0x3c9) {
		put_utf8(out, c == 0x3c2 ? 0x3a3 : c - 32); /* final sigma has no capital */
	} else if (c >= 0x430 && c <= 0x44f) {
		put_utf8(out, c - 32);
	} else if (c >= 0x450 && c <= 0x45f) {
		put_utf8(out, c - 80);
	} else {
		return c >= 0x300 && c <= 0x36f; /* combining accents vanish */
	}
	return true;
}

void nx_fold_name(struct nx_slice name, struct nx_buf *out)
{
	size_t i = 0;

	while (i < name.n) {
		uint8_t b = name.p[i];
		bool two = (b & 0xe0) == 0xc0 && i + 1 < name.n && (name.p[i + 1] & 0xc0) == 0x80;
		uint32_t c = two ? (uint32_t)(b & 0x1f) << 6 | (name.p[i + 1] & 0x3f) : b;
		size_t len = two ? 2 : 1;

		if ((b >= 0x80 && !two) || !fold_point(c, out))
			nx_buf_put(out, name.p + i, len);
		i += len;
	}
}

/* Component and group delimiters at the end of a group say nothing (PS3.5 6.2.1). */
static size_t without_trailing(const uint8_t *p, size_t n)
{
	while (n && (p[n - 1] == '^' || p[n - 1] == ' '))
		n--;
	return n;
}

char *nx_cat_name_key(const char *name, struct nx_arena *arena)
{
	struct nx_slice left = nx_slice_str(name);
	NX_AUTO_DONE(nx_buf) key;
	size_t full = 0; /* the key without empty groups at the end */

	nx_buf_init(&key, 2 * left.n + 16, NX_BUF_WIPE);
	for (bool more = true; more;) {
		const uint8_t *eq = left.n ? memchr(left.p, '=', left.n) : NULL;
		size_t n = eq ? (size_t)(eq - left.p) : left.n;
		size_t group = without_trailing(left.p, n);

		nx_fold_name(nx_slice(left.p, group), &key);
		if (group)
			full = key.len;
		more = eq != NULL;
		if (more) {
			nx_buf_put_u8(&key, '=');
			left = nx_slice(eq + 1, left.n - n - 1);
		}
	}
	if (nx_buf_check(&key, NULL))
		return NULL;
	return nx_arena_str(arena, full ? (const char *)key.data : "", full);
}

/* ---- in SQL ---- */

static void sql_fold(sqlite3_context *ctx, int n_args, sqlite3_value **args)
{
	const void *p = sqlite3_value_text(args[0]);
	size_t n = (size_t)sqlite3_value_bytes(args[0]);
	NX_AUTO_DONE(nx_buf) out;

	(void)n_args;
	nx_buf_init(&out, 2 * n + 16, NX_BUF_WIPE);
	if (p)
		nx_fold_name(nx_slice(p, n), &out);
	if (nx_buf_check(&out, NULL))
		sqlite3_result_error_nomem(ctx);
	else
		sqlite3_result_text64(ctx, out.len ? (const char *)out.data : "", out.len,
			SQLITE_TRANSIENT, SQLITE_UTF8);
}

/* CRC-32C of a name: short, and the same for ever, as indexes hold it. */
static void sql_hash(sqlite3_context *ctx, int n_args, sqlite3_value **args)
{
	const void *p = sqlite3_value_text(args[0]);

	(void)n_args;
	sqlite3_result_int64(
		ctx, p ? (int64_t)nx_crc32c(0, p, (size_t)sqlite3_value_bytes(args[0])) : 0);
}

int nx_fold_register(sqlite3 *db)
{
	const int flags = SQLITE_UTF8 | SQLITE_DETERMINISTIC | SQLITE_INNOCUOUS;
	int rc = sqlite3_create_function_v2(
		db, "nx_fold", 1, flags, NULL, sql_fold, NULL, NULL, NULL);

	if (rc)
		return rc;
	return sqlite3_create_function_v2(
		db, "nx_hash", 1, flags, NULL, sql_hash, NULL, NULL, NULL);
}
