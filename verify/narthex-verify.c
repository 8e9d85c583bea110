/*
 * narthex-verify - check a ledger export or a proof bundle offline, with nothing but the log's
 * verifier key.
 *
 * Written against docs/LEDGER.md alone and sharing no code with the server, so that an error in one
 * is not an error in both.  One file:
 *
 *	cc -O2 narthex-verify.c -o narthex-verify -ljansson -lhogweed -lnettle -lgmp
 */
#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <jansson.h>
#include <nettle/base64.h>
#include <nettle/eddsa.h>
#include <nettle/sha2.h>
#include <stdarg.h>
#include <stdbool.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

enum {
	HASH = 32,
	TAG = 16,
	WIDTH = 256, /* entries of a bundle, hashes of a tile */
	LEVELS = 8,
	BUCKETS = 65536,
	MAP_DEPTH = 16,
	ENTRY_BYTES = 65535,
	BUNDLE_BYTES = WIDTH * (ENTRY_BYTES + 2),
	NOTE_BYTES = 65536,
	PATH_BYTES = 4096,
};

static const char usage[] =
	"Usage:\n"
	"  narthex-verify export DIR --key FILE|STRING\n"
	"  narthex-verify proof FILE --key FILE|STRING\n"
	"\n"
	"export  checks a whole exported ledger: the checkpoint's signature, every entry against\n"
	"        the Merkle tree (RFC 6962), every chain of entries about one subject, study or\n"
	"        principal, and the map of chain heads.\n"
	"proof   checks one accounting (JSON): that each entry is in the log, that none is missing,\n"
	"        and that the newest one is the newest as of the checkpoint.  Opened bodies, where\n"
	"        the bundle has them, are the site's word: they are sealed in the log.\n"
	"--key   the verifier key, \"name+hash+base64\", or a file with it as its first line.  Get it\n"
	"        from the site by another way than the data; the file `key` of an export proves\n"
	"        nothing by itself.\n"
	"\n"
	"The first altered, missing or reordered entry is named by its index.\n"
	"Exit status: 0 all verifies, 1 it does not, 2 wrong use or unreadable input.\n";

/* Say what is wrong; always false. */
__attribute__((format(printf, 1, 2))) static bool fail(const char *fmt, ...)
{
	va_list ap;

	printf("FAILED: ");
	va_start(ap, fmt);
	(void)vprintf(fmt, ap);
	va_end(ap);
	printf("\n");
	return false;
}

static void sha256(const uint8_t *p, size_t n, uint8_t ret[HASH])
{
	struct sha256_ctx ctx;

	sha256_init(&ctx);
	sha256_update(&ctx, n, p);
	sha256_digest(&ctx, HASH, ret);
}

static void leaf_hash(const uint8_t *p, size_t n, uint8_t ret[HASH])
{
	static const uint8_t prefix = 0;
	struct sha256_ctx ctx;

	sha256_init(&ctx);
	sha256_update(&ctx, 1, &prefix);
	sha256_update(&ctx, n, p);
	sha256_digest(&ctx, HASH, ret);
}

static void node_hash(const uint8_t *left, const uint8_t *right, uint8_t ret[HASH])
{
	uint8_t both[1 + 2 * HASH];

	both[0] = 1;
	memcpy(both + 1, left, HASH);
	memcpy(both + 1 + HASH, right, HASH);
	sha256(both, sizeof(both), ret);
}

static bool hex_decode(const char *s, uint8_t *ret, size_t n)
{
	if (!s || strlen(s) != 2 * n)
		return false;
	for (size_t i = 0; i < 2 * n; i++) {
		const char *digits = "0123456789abcdef", *at = strchr(digits, s[i]);

		if (!at)
			return false;
		ret[i / 2] = (uint8_t)(ret[i / 2] << 4 | (at - digits));
	}
	return true;
}

/* Returns the number of bytes, or SIZE_MAX; `ret` has room for BASE64_DECODE_LENGTH(n). */
static size_t base64_decode(const char *s, size_t n, uint8_t *ret)
{
	struct base64_decode_ctx ctx;
	size_t len = 0;

	base64_decode_init(&ctx);
	if (!base64_decode_update(&ctx, &len, ret, n, s) || !base64_decode_final(&ctx))
		return SIZE_MAX;
	return len;
}

static bool number_decode(const char *s, size_t n, uint64_t *ret)
{
	uint64_t v = 0;

	if (!n || n > 20 || (n > 1 && s[0] == '0'))
		return false;
	for (size_t i = 0; i < n; i++)
		if (s[i] < '0' || s[i] > '9' || __builtin_mul_overflow(v, 10, &v) ||
			__builtin_add_overflow(v, (uint64_t)(s[i] - '0'), &v))
			return false;
	*ret = v;
	return true;
}

/* ---- files ---- */

/* The whole file, NUL behind it; NULL when it is not there, too long or not readable. */
static char *file_read(int dir, const char *name, size_t max, size_t *ret_n)
{
	int fd = openat(dir, name, O_RDONLY | O_CLOEXEC);
	struct stat st;
	char *p = NULL;
	size_t n = 0;

	if (fd >= 0 && fstat(fd, &st) == 0 && S_ISREG(st.st_mode) && (uint64_t)st.st_size <= max)
		p = malloc((size_t)st.st_size + 1);
	while (p && n < (size_t)st.st_size) {
		ssize_t got = read(fd, p + n, (size_t)st.st_size - n);

		if (got <= 0) {
			free(p);
			p = NULL;
		} else {
			n += (size_t)got;
		}
	}
	if (fd >= 0)
		(void)close(fd);
	if (!p)
		return NULL;
	p[n] = 0;
	*ret_n = n;
	return p;
}

/* "tile/<level>/<N>[.p/<width>]", N as x001/x234/067; level -1 is tile/entries. */
static void tile_path(int level, uint64_t number, unsigned width, char ret[PATH_BYTES])
{
	uint64_t scale = 1;
	int at = level < 0 ? snprintf(ret, PATH_BYTES, "tile/entries/")
			   : snprintf(ret, PATH_BYTES, "tile/%d/", level);

	while (number / scale >= 1000)
		scale *= 1000;
	for (; scale > 1; scale /= 1000)
		at += snprintf(ret + at, PATH_BYTES - (size_t)at, "x%03" PRIu64 "/",
			number / scale % 1000);
	at += snprintf(ret + at, PATH_BYTES - (size_t)at, "%03" PRIu64, number % 1000);
	if (width)
		(void)snprintf(ret + at, PATH_BYTES - (size_t)at, ".p/%u", width);
}

static uint8_t *tile_read(int dir, int level, uint64_t number, unsigned width, size_t *ret_n)
{
	char path[PATH_BYTES];

	tile_path(level, number, width % WIDTH, path);
	return (uint8_t *)file_read(dir, path, BUNDLE_BYTES, ret_n);
}

/* ---- signed notes ---- */

struct key {
	char name[1024];
	uint8_t id[4];
	uint8_t pub[HASH];
};

struct checkpoint {
	uint64_t size;
	uint8_t root[HASH];
	uint8_t map_root[HASH];
};

static bool key_parse(const char *text, struct key *ret)
{
	const char *hash = strchr(text, '+'), *b64 = hash ? strchr(hash + 1, '+') : NULL;
	uint8_t typed[BASE64_DECODE_LENGTH(64)], digest[HASH];
	struct sha256_ctx ctx;
	char hex[9] = "";
	size_t n;

	if (!b64 || hash == text || (size_t)(hash - text) >= sizeof(ret->name) || b64 - hash != 9 ||
		strlen(b64 + 1) > 64)
		return false;
	memcpy(ret->name, text, (size_t)(hash - text));
	ret->name[hash - text] = 0;
	memcpy(hex, hash + 1, 8);
	n = base64_decode(b64 + 1, strlen(b64 + 1), typed);
	if (n != 1 + HASH || typed[0] != 1 || !hex_decode(hex, ret->id, 4))
		return false;
	memcpy(ret->pub, typed + 1, HASH);
	sha256_init(&ctx);
	sha256_update(&ctx, strlen(ret->name), (const uint8_t *)ret->name);
	sha256_update(&ctx, 1, (const uint8_t *)"\n");
	sha256_update(&ctx, 1 + HASH, typed);
	sha256_digest(&ctx, HASH, digest);
	return memcmp(digest, ret->id, 4) == 0;
}

/* The next line of *text, cut at its line feed; NULL at the end. */
static char *line_next(char **text)
{
	char *line = *text, *lf = strchr(line, '\n');

	if (!lf)
		return NULL;
	*lf = 0;
	*text = lf + 1;
	return line;
}

static bool hash_decode(const char *b64, uint8_t ret[HASH])
{
	uint8_t bytes[BASE64_DECODE_LENGTH(44)];

	if (strlen(b64) != 44 || base64_decode(b64, 44, bytes) != HASH)
		return false;
	memcpy(ret, bytes, HASH);
	return true;
}

static bool signature_check(const char *text, size_t body, const struct key *key)
{
	const char *at = text + body + 1;
	char prefix[sizeof(key->name) + 8];
	size_t n = (size_t)snprintf(prefix, sizeof(prefix), "\xe2\x80\x94 %s ", key->name);
	uint8_t sig[BASE64_DECODE_LENGTH(92)];

	for (const char *lf; (lf = strchr(at, '\n')) != NULL; at = lf + 1) {
		if ((size_t)(lf - at) != n + 92 || memcmp(at, prefix, n) != 0 ||
			base64_decode(at + n, 92, sig) != 68 || memcmp(sig, key->id, 4) != 0)
			continue;
		return ed25519_sha512_verify(key->pub, body, (const uint8_t *)text, sig + 4);
	}
	return false;
}

static bool note_check(const char *text, const struct key *key, struct checkpoint *ret)
{
	const char *end = strstr(text, "\n\n");
	char *copy, *rest, *origin, *size, *root, *map;
	bool good;

	if (!end)
		return fail("the checkpoint is not a signed note");
	if (!signature_check(text, (size_t)(end + 1 - text), key))
		return fail("the checkpoint has no valid signature of %s", key->name);
	copy = rest = strndup(text, (size_t)(end + 1 - text));
	if (!copy)
		return fail("no memory");
	origin = line_next(&rest);
	size = line_next(&rest);
	root = line_next(&rest);
	map = root ? line_next(&rest) : NULL;
	good = origin && size && map && strcmp(origin, key->name) == 0 &&
		number_decode(size, strlen(size), &ret->size) && hash_decode(root, ret->root) &&
		strncmp(map, "nx-map/1 ", 9) == 0 && hash_decode(map + 9, ret->map_root);
	free(copy);
	return good || fail("the checkpoint is not one of a narthex ledger");
}

/* ---- entries ---- */

struct chain {
	uint8_t tag[TAG];
	uint64_t count;
	uint64_t prev; /* UINT64_MAX before the first */
};

struct entry {
	int64_t time_us;
	unsigned n_chains;
	struct chain chains[3];
};

static uint64_t le64(const uint8_t *p)
{
	uint64_t v = 0;

	for (int i = 7; i >= 0; i--)
		v = v << 8 | p[i];
	return v;
}

static bool entry_parse(const uint8_t *p, size_t n, struct entry *ret)
{
	unsigned kind = 0;
	size_t at = 13;

	if (n < 15 || p[0] != 1 || p[12] > 3 || n < 13 + 33u * p[12] + 2)
		return false;
	ret->time_us = (int64_t)le64(p + 4);
	ret->n_chains = p[12];
	for (unsigned i = 0; i < ret->n_chains; i++, at += 33) {
		if (p[at] <= kind || p[at] > 3)
			return false;
		kind = p[at];
		memcpy(ret->chains[i].tag, p + at + 1, TAG);
		ret->chains[i].count = le64(p + at + 17);
		ret->chains[i].prev = le64(p + at + 25);
	}
	return n - at - 2 == (size_t)(p[at] | p[at + 1] << 8);
}

/* ---- chains ---- */

struct slot {
	uint8_t tag[TAG];
	uint64_t count; /* 0: free */
	uint64_t last;
};

struct table {
	struct slot *slots;
	size_t cap; /* a power of two */
	size_t n;
};

static struct slot *slot_of(const struct table *table, const uint8_t *tag)
{
	size_t i = (size_t)le64(tag + 8) & (table->cap - 1);

	while (table->slots[i].count && memcmp(table->slots[i].tag, tag, TAG) != 0)
		i = (i + 1) & (table->cap - 1);
	return &table->slots[i];
}

static bool table_grow(struct table *table)
{
	struct table bigger = {.cap = table->cap ? 2 * table->cap : 4096, .n = table->n};

	if (table->cap && table->n < table->cap / 4 * 3)
		return true;
	bigger.slots = calloc(bigger.cap, sizeof(*bigger.slots));
	if (!bigger.slots)
		return fail("no memory for %zu chains", bigger.cap);
	for (size_t i = 0; i < table->cap; i++)
		if (table->slots[i].count)
			*slot_of(&bigger, table->slots[i].tag) = table->slots[i];
	free(table->slots);
	*table = bigger;
	return true;
}

static bool chain_check(struct table *table, uint64_t index, const struct chain *chain)
{
	struct slot *slot;

	if (!table_grow(table))
		return false;
	slot = slot_of(table, chain->tag);
	if (chain->count != slot->count + 1 ||
		chain->prev != (slot->count ? slot->last : UINT64_MAX))
		return fail("entry %" PRIu64 " says it is number %" PRIu64
			    " of its chain, but %" PRIu64 " come before it",
			index, chain->count, slot->count);
	table->n += !slot->count;
	memcpy(slot->tag, chain->tag, TAG);
	slot->count = chain->count;
	slot->last = index;
	return true;
}

/* ---- export ---- */

struct export
{
	int dir;
	uint64_t size;              /* entries so far */
	uint8_t(*row)[WIDTH][HASH]; /* per level, its last, unfinished tile */
	struct table table;
	int64_t time_us;
};

static void fold(const uint8_t (*hashes)[HASH], unsigned n, uint8_t ret[HASH])
{
	uint8_t left[HASH], right[HASH];

	if (n == 1) {
		memcpy(ret, hashes[0], HASH);
		return;
	}
	fold(hashes, n / 2, left);
	fold(hashes + n / 2, n / 2, right);
	node_hash(left, right, ret);
}

static unsigned row_width(uint64_t size, int level)
{
	return (unsigned)(size >> (8 * level)) % WIDTH;
}

static bool tile_compare(const struct export *ex, int level, uint64_t number, unsigned width)
{
	unsigned n = width ? width : WIDTH, i = 0;
	size_t len;
	uint8_t *tile = tile_read(ex->dir, level, number, width, &len);

	if (!tile || len != (size_t)n * HASH) {
		free(tile);
		return fail("tile %d/%" PRIu64 " is missing or short", level, number);
	}
	while (i < n && memcmp(tile + (size_t)i * HASH, ex->row[level][i], HASH) == 0)
		i++;
	free(tile);
	return i == n ||
		fail("tile %d/%" PRIu64 " is not over its entries: entry %" PRIu64
		     " or one of the %" PRIu64 " behind it is altered",
			level, number, (number * WIDTH + i) << (8 * level),
			(UINT64_C(1) << (8 * level)) - 1);
}

static bool tree_append(struct export *ex, const uint8_t leaf[HASH])
{
	uint8_t hash[HASH];

	memcpy(hash, leaf, HASH);
	for (int level = 0; level < LEVELS; level++) {
		unsigned width = row_width(ex->size, level);

		memcpy(ex->row[level][width], hash, HASH);
		if (width + 1 < WIDTH)
			break;
		if (level && !tile_compare(ex, level, ex->size >> (8 * (level + 1)), 0))
			return false;
		fold((const uint8_t(*)[HASH])ex->row[level], WIDTH, hash);
	}
	ex->size++;
	return true;
}

static void tree_root(const struct export *ex, uint8_t ret[HASH])
{
	uint8_t sub[HASH];
	bool any = false;

	sha256((const uint8_t *)"", 0, ret);
	for (int level = 0; level < LEVELS; level++) {
		unsigned end = row_width(ex->size, level);

		for (unsigned n = 1; n < WIDTH; n *= 2) {
			if (!(end & n))
				continue;
			end -= n;
			fold((const uint8_t(*)[HASH]) & ex->row[level][end], n, sub);
			if (any)
				node_hash(sub, ret, ret);
			else
				memcpy(ret, sub, HASH);
			any = true;
		}
	}
}

/* Why the entry at place `i` of its bundle does not have the hash that the tile has there. */
static bool name_difference(
	uint64_t index, unsigned i, unsigned n, const uint8_t *hash, const uint8_t *tile)
{
	for (unsigned j = 0; j < n; j++) {
		if (memcmp(hash, tile + (size_t)j * HASH, HASH) != 0)
			continue;
		return fail("entry %" PRIu64 " is %s: entry %" PRIu64 " is in its place", index,
			j == i + 1 ? "missing or out of order" : "out of order", index - i + j);
	}
	return fail("entry %" PRIu64 " is altered", index);
}

static bool entry_check(struct export *ex, const uint8_t *p, size_t n, const uint8_t *tile,
	unsigned i, unsigned width)
{
	uint64_t index = ex->size;
	struct entry entry;
	uint8_t leaf[HASH];

	leaf_hash(p, n, leaf);
	if (memcmp(leaf, tile + (size_t)i * HASH, HASH) != 0)
		return name_difference(index, i, width, leaf, tile);
	if (!entry_parse(p, n, &entry))
		return fail("entry %" PRIu64 " does not parse", index);
	if (entry.time_us < ex->time_us)
		return fail("entry %" PRIu64 " is older than the one before it", index);
	ex->time_us = entry.time_us;
	for (unsigned k = 0; k < entry.n_chains; k++)
		if (!chain_check(&ex->table, index, &entry.chains[k]))
			return false;
	return tree_append(ex, leaf);
}

static bool bundle_entries(
	struct export *ex, const uint8_t *p, size_t n, const uint8_t *tile, unsigned width)
{
	for (unsigned i = 0; i < width; i++) {
		size_t len = n >= 2 ? (size_t)(p[0] << 8 | p[1]) : 0;

		if (n < 2 || n - 2 < len)
			return fail("entry %" PRIu64 " is missing: its bundle ends before it",
				ex->size);
		if (!entry_check(ex, p + 2, len, tile, i, width))
			return false;
		p += 2 + len;
		n -= 2 + len;
	}
	return !n || fail("there are bytes behind entry %" PRIu64 " in its bundle", ex->size - 1);
}

static bool bundle_check(struct export *ex, unsigned width)
{
	uint64_t number = ex->size / WIDTH;
	size_t n_tile = 0, n_bundle = 0;
	uint8_t *tile = tile_read(ex->dir, 0, number, width, &n_tile);
	uint8_t *bundle = tile_read(ex->dir, -1, number, width, &n_bundle);
	bool good;

	if (!bundle)
		good = fail("entry %" PRIu64 " is missing: no bundle", ex->size);
	else if (!tile || n_tile != (size_t)width * HASH)
		good = fail("tile 0/%" PRIu64 " of entry %" PRIu64 " is missing or short", number,
			ex->size);
	else
		good = bundle_entries(ex, bundle, n_bundle, tile, width);
	free(tile);
	free(bundle);
	return good;
}

static bool tree_check(struct export *ex, const struct checkpoint *checkpoint)
{
	uint8_t root[HASH];

	while (ex->size < checkpoint->size) {
		uint64_t left = checkpoint->size - ex->size;

		if (!bundle_check(ex, left < WIDTH ? (unsigned)left : WIDTH))
			return false;
	}
	for (int level = 1; level < LEVELS; level++) {
		unsigned width = row_width(ex->size, level);
		uint64_t number = level + 1 < LEVELS ? ex->size >> (8 * (level + 1)) : 0;

		if (width && !tile_compare(ex, level, number, width))
			return false;
	}
	tree_root(ex, root);
	return memcmp(root, checkpoint->root, HASH) == 0 ||
		fail("the checkpoint's root is not that of entries 0 to %" PRIu64
		     ": tiles and entries were altered together",
			checkpoint->size);
}

/* ---- the map of chain heads ---- */

struct map {
	uint8_t (*node)[HASH]; /* heap: root 1, bucket b at BUCKETS + b */
	uint8_t *bytes;        /* of the bucket that is being read */
	size_t n, cap;
	long bucket;
};

static void put_be64(uint8_t *p, uint64_t v)
{
	for (int i = 7; i >= 0; i--, v >>= 8)
		p[i] = (uint8_t)v;
}

static bool map_put(struct map *map, const uint8_t *tag, uint64_t count, uint64_t last)
{
	if (map->n + TAG + 16 > map->cap) {
		size_t cap = map->cap ? 2 * map->cap : 4096;
		uint8_t *bytes = realloc(map->bytes, cap);

		if (!bytes)
			return fail("no memory for the map");
		map->bytes = bytes;
		map->cap = cap;
	}
	memcpy(map->bytes + map->n, tag, TAG);
	put_be64(map->bytes + map->n + TAG, count);
	put_be64(map->bytes + map->n + TAG + 8, last);
	map->n += TAG + 16;
	return true;
}

static bool map_add(struct map *map, const uint8_t *tag, uint64_t count, uint64_t last)
{
	long bucket = tag[0] << 8 | tag[1];

	if (map->n > 1 && bucket == map->bucket &&
		memcmp(map->bytes + map->n - TAG - 16, tag, TAG) >= 0)
		return fail("the map is not in order at the head of entry %" PRIu64, last);
	if (bucket < map->bucket)
		return fail("the map is not in order at the head of entry %" PRIu64, last);
	if (bucket != map->bucket) {
		if (map->bucket >= 0)
			sha256(map->bytes, map->n, map->node[BUCKETS + map->bucket]);
		map->bucket = bucket;
		map->n = 1; /* the prefix */
	}
	return map_put(map, tag, count, last);
}

static bool map_init(struct map *map)
{
	static const uint8_t prefix = 2;

	*map = (struct map){.bucket = -1, .cap = 4096, .n = 1};
	map->node = malloc((size_t)2 * BUCKETS * HASH);
	map->bytes = malloc(map->cap);
	if (!map->node || !map->bytes)
		return fail("no memory for the map");
	map->bytes[0] = prefix;
	for (size_t i = 0; i < BUCKETS; i++)
		sha256(&prefix, 1, map->node[BUCKETS + i]);
	return true;
}

static void map_root(struct map *map, uint8_t ret[HASH])
{
	if (map->bucket >= 0)
		sha256(map->bytes, map->n, map->node[BUCKETS + map->bucket]);
	for (size_t i = BUCKETS - 1; i; i--)
		node_hash(map->node[2 * i], map->node[2 * i + 1], map->node[i]);
	memcpy(ret, map->node[1], HASH);
}

static bool map_line(struct map *map, const struct table *table, char *line)
{
	char *count = strchr(line, ' '), *last = count ? strchr(count + 1, ' ') : NULL;
	const struct slot *slot;
	uint64_t c, l;
	uint8_t tag[TAG];

	if (!last)
		return fail("a line of the map does not parse");
	*count++ = 0;
	*last++ = 0;
	if (!hex_decode(line, tag, TAG) || !number_decode(count, strlen(count), &c) ||
		!number_decode(last, strlen(last), &l))
		return fail("a line of the map does not parse");
	slot = table->cap ? slot_of(table, tag) : NULL;
	if (!slot || slot->count != c || slot->last != l)
		return fail("the map says that entry %" PRIu64
			    " is the last of a chain, number %" PRIu64
			    "; in the log it is entry %" PRIu64 ", number %" PRIu64,
			l, c, slot ? slot->last : 0, slot ? slot->count : 0);
	return map_add(map, tag, c, l);
}

static bool map_lines(
	struct map *map, const struct table *table, char *text, const struct checkpoint *checkpoint)
{
	uint8_t root[HASH];
	size_t lines = 0;

	for (char *line; (line = line_next(&text)) != NULL; lines++)
		if (!map_line(map, table, line))
			return false;
	if (lines != table->n)
		return fail("the map has %zu chain heads, the log has %zu", lines, table->n);
	map_root(map, root);
	return memcmp(root, checkpoint->map_root, HASH) == 0 ||
		fail("the checkpoint's map root is not that of the chains");
}

static bool map_check(const struct export *ex, const struct checkpoint *checkpoint)
{
	struct map map = {0};
	size_t n;
	char *text = file_read(ex->dir, "map", SIZE_MAX / 2, &n);
	bool good = text ? map_init(&map) && map_lines(&map, &ex->table, text, checkpoint)
			 : fail("the map is missing");

	free(map.node);
	free(map.bytes);
	free(text);
	return good;
}

static bool export_check(int dir, const struct key *key)
{
	struct export ex = {.dir = dir, .time_us = INT64_MIN};
	struct checkpoint checkpoint;
	size_t n;
	char *note = file_read(dir, "checkpoint", NOTE_BYTES, &n);
	bool good;

	ex.row = calloc(LEVELS, sizeof(*ex.row));
	if (!note || !ex.row)
		good = fail("the checkpoint is missing");
	else
		good = note_check(note, key, &checkpoint) && tree_check(&ex, &checkpoint) &&
			map_check(&ex, &checkpoint);
	if (good)
		printf("OK: %" PRIu64 " entries, %zu chains, signed by %s\n", ex.size, ex.table.n,
			key->name);
	free(note);
	free(ex.row);
	free(ex.table.slots);
	return good;
}

/* ---- proof ---- */

struct proof {
	json_t *json;
	struct checkpoint checkpoint;
	uint8_t tag[TAG];
	uint64_t count;
	uint64_t last;
};

static bool json_u64(const json_t *value, uint64_t *ret)
{
	if (!json_is_integer(value) || json_integer_value(value) < 0)
		return false;
	*ret = (uint64_t)json_integer_value(value);
	return true;
}

static bool head_add(struct proof *proof, struct map *map, const json_t *head, bool *found)
{
	uint64_t count, last;
	uint8_t tag[TAG];

	if (!hex_decode(json_string_value(json_array_get(head, 0)), tag, TAG) ||
		!json_u64(json_array_get(head, 1), &count) ||
		!json_u64(json_array_get(head, 2), &last))
		return fail("a chain head in the proof does not parse");
	if (memcmp(tag, proof->tag, 2) != 0)
		return fail("the proof's bucket holds a chain of another bucket");
	if (memcmp(tag, proof->tag, TAG) == 0) {
		*found = true;
		if (count != proof->count || last != proof->last)
			return fail("the proof ends at entry %" PRIu64 ", number %" PRIu64
				    "; the checkpoint has entry %" PRIu64 ", number %" PRIu64,
				proof->last, proof->count, last, count);
	}
	return map_add(map, tag, count, last);
}

/* The bucket's hash up its path to the map root that the checkpoint signs. */
static bool proof_map_path(struct proof *proof, const struct map *map, const json_t *path)
{
	size_t node = (size_t)BUCKETS + (size_t)(proof->tag[0] << 8 | proof->tag[1]);
	uint8_t hash[HASH], sibling[HASH];

	sha256(map->bytes, map->n, hash);
	if (json_array_size(path) != MAP_DEPTH)
		return fail("the proof's map path has not %d hashes", MAP_DEPTH);
	for (size_t i = 0; i < MAP_DEPTH; i++, node /= 2) {
		if (!hex_decode(json_string_value(json_array_get(path, i)), sibling, HASH))
			return fail("the proof's map path does not parse");
		if (node & 1)
			node_hash(sibling, hash, hash);
		else
			node_hash(hash, sibling, hash);
	}
	return memcmp(hash, proof->checkpoint.map_root, HASH) == 0 ||
		fail("the proof's chain heads are not those of the checkpoint");
}

static bool proof_map(struct proof *proof)
{
	const json_t *map_json = json_object_get(proof->json, "map"), *head;
	struct map map = {0};
	bool found = false, good = map_init(&map);
	size_t i;

	json_array_foreach(json_object_get(map_json, "heads"), i, head)
	{
		good = good && head_add(proof, &map, head, &found);
	}
	if (good && !found)
		good = fail("the proof's bucket does not hold its chain");
	good = good && proof_map_path(proof, &map, json_object_get(map_json, "path"));
	free(map.node);
	free(map.bytes);
	return good;
}

/* RFC 9162 2.1.3.2. */
static bool inclusion_check(
	const struct proof *proof, uint64_t index, const uint8_t *leaf, const json_t *path)
{
	uint64_t fn = index, sn = proof->checkpoint.size - 1;
	uint8_t hash[HASH], other[HASH];

	if (index >= proof->checkpoint.size)
		return false;
	memcpy(hash, leaf, HASH);
	for (size_t i = 0; i < json_array_size(path); i++) {
		if (!sn || !hex_decode(json_string_value(json_array_get(path, i)), other, HASH))
			return false;
		if ((fn & 1) || fn == sn) {
			node_hash(other, hash, hash);
			while (!(fn & 1) && fn) {
				fn >>= 1;
				sn >>= 1;
			}
		} else {
			node_hash(hash, other, hash);
		}
		fn >>= 1;
		sn >>= 1;
	}
	return !sn && memcmp(hash, proof->checkpoint.root, HASH) == 0;
}

/* Entry `index` must be number `count` of the chain; *ret_prev gets the one before. */
static bool proof_link(const struct proof *proof, const uint8_t *bytes, size_t n, uint64_t index,
	uint64_t count, uint64_t *ret_prev)
{
	struct entry entry;

	if (!entry_parse(bytes, n, &entry))
		return fail("entry %" PRIu64 " does not parse", index);
	for (unsigned i = 0; i < entry.n_chains; i++) {
		const struct chain *chain = &entry.chains[i];

		if (memcmp(chain->tag, proof->tag, TAG) != 0)
			continue;
		if (chain->count != count || (count == 1) != (chain->prev == UINT64_MAX))
			return fail("entry %" PRIu64 " is number %" PRIu64
				    " of its chain, not number %" PRIu64,
				index, chain->count, count);
		*ret_prev = chain->prev;
		return true;
	}
	return fail("entry %" PRIu64 " is not of this chain", index);
}

static bool proof_entry(
	const struct proof *proof, const json_t *item, uint64_t count, uint64_t *index)
{
	const json_t *b64 = json_object_get(item, "entry");
	size_t n_b64 = json_string_length(b64), n;
	uint8_t leaf[HASH], *bytes;
	uint64_t at;
	bool good;

	if (!json_u64(json_object_get(item, "index"), &at) || at != *index)
		return fail("entry %" PRIu64 " is missing or out of order", *index);
	if (!json_is_string(b64) || n_b64 > 2 * ENTRY_BYTES)
		return fail("entry %" PRIu64 " does not parse", at);
	bytes = malloc(BASE64_DECODE_LENGTH(n_b64) + 1);
	if (!bytes)
		return fail("no memory");
	n = base64_decode(json_string_value(b64), n_b64, bytes);
	if (n != SIZE_MAX)
		leaf_hash(bytes, n, leaf);
	if (n == SIZE_MAX || !inclusion_check(proof, at, leaf, json_object_get(item, "path")))
		good = fail("entry %" PRIu64 " is altered: it is not in the checkpoint's tree", at);
	else
		good = proof_link(proof, bytes, n, at, count, index);
	free(bytes);
	return good;
}

static bool proof_chain(const struct proof *proof)
{
	const json_t *entries = json_object_get(proof->json, "entries");
	uint64_t index = proof->last;

	for (uint64_t i = 0; i < proof->count; i++) {
		if (i >= json_array_size(entries))
			return fail("entry %" PRIu64 ", number %" PRIu64
				    " of its chain, is missing",
				index, proof->count - i);
		if (!proof_entry(
			    proof, json_array_get(entries, (size_t)i), proof->count - i, &index))
			return false;
	}
	return json_array_size(entries) == proof->count ||
		fail("the proof has more entries than its chain");
}

static bool proof_check(json_t *json, const struct key *key)
{
	struct proof proof = {.json = json};
	const char *format = json_string_value(json_object_get(json, "format"));
	const char *note = json_string_value(json_object_get(json, "checkpoint"));

	if (!format || strcmp(format, "narthex-proof/1") != 0 || !note)
		return fail("this is not a proof bundle of format narthex-proof/1");
	if (!note_check(note, key, &proof.checkpoint))
		return false;
	if (!hex_decode(json_string_value(json_object_get(json, "tag")), proof.tag, TAG) ||
		!json_u64(json_object_get(json, "count"), &proof.count) ||
		!json_u64(json_object_get(json, "last"), &proof.last) || !proof.count)
		return fail("the proof does not parse");
	if (!proof_map(&proof) || !proof_chain(&proof))
		return false;
	printf("OK: all %" PRIu64 " entries of one chain, complete as of %" PRIu64
	       " entries, signed by %s\n",
		proof.count, proof.checkpoint.size, key->name);
	return true;
}

/* ---- command line ---- */

static bool key_load(const char *arg, struct key *ret)
{
	size_t n;
	char *text = file_read(AT_FDCWD, arg, NOTE_BYTES, &n);
	bool good;

	if (!text)
		return key_parse(arg, ret);
	text[strcspn(text, "\r\n")] = 0;
	good = key_parse(text, ret);
	free(text);
	return good;
}

static int run_export(const char *path, const struct key *key)
{
	int dir = open(path, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	bool good;

	if (dir < 0) {
		(void)fprintf(stderr, "narthex-verify: %s: %s\n", path, strerror(errno));
		return 2;
	}
	good = export_check(dir, key);
	(void)close(dir);
	return good ? 0 : 1;
}

static int run_proof(const char *path, const struct key *key)
{
	json_error_t error;
	json_t *json = json_load_file(path, JSON_REJECT_DUPLICATES, &error);
	bool good;

	if (!json) {
		(void)fprintf(stderr, "narthex-verify: %s: %s\n", path, error.text);
		return json_error_code(&error) == json_error_cannot_open_file ? 2 : 1;
	}
	good = proof_check(json, key);
	json_decref(json);
	return good ? 0 : 1;
}

int main(int argc, char **argv)
{
	struct key key;

	if (argc == 2 && (strcmp(argv[1], "--help") == 0 || strcmp(argv[1], "-h") == 0)) {
		(void)fputs(usage, stdout);
		return 0;
	}
	if (argc != 5 || strcmp(argv[3], "--key") != 0 ||
		(strcmp(argv[1], "export") != 0 && strcmp(argv[1], "proof") != 0)) {
		(void)fputs(usage, stderr);
		return 2;
	}
	if (!key_load(argv[4], &key)) {
		(void)fprintf(stderr, "narthex-verify: %s is no verifier key\n", argv[4]);
		return 2;
	}
	return strcmp(argv[1], "export") == 0 ? run_export(argv[2], &key)
					      : run_proof(argv[2], &key);
}
