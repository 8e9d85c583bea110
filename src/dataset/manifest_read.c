/* Reading a manifest: untrusted bytes until every hash has been checked. */
#include <jansson.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/arena.h"
#include "base/enc.h"
#include "dataset/manifest_priv.h"

enum {
	LINE_MAX_LEN = 1024, /* of head and page lines */
	ENTRY_BYTES_MIN = 100
};

static nx_rc corrupt(struct nx_err *err, const char *what)
{
	return nx_err_set(err, NX_E_CORRUPT, "manifest: %s", what);
}

/* The next line, without its line feed. */
static bool line_next(struct nx_slice *left, struct nx_slice *ret)
{
	const uint8_t *end = left->n ? memchr(left->p, '\n', left->n) : NULL;

	if (!end)
		return false;
	*ret = nx_slice(left->p, (size_t)(end - left->p));
	left->n -= ret->n + 1;
	left->p = end + 1;
	return true;
}

/* The rest of a head line after `word`, as text. */
static bool head_line(
	struct nx_slice *left, const char *word, char *ret, size_t cap, struct nx_slice *ret_line)
{
	size_t n = strlen(word);

	if (!line_next(left, ret_line) || ret_line->n < n || ret_line->n - n >= cap ||
		(n && memcmp(ret_line->p, word, n) != 0))
		return false;
	memcpy(ret, ret_line->p + n, ret_line->n - n);
	ret[ret_line->n - n] = 0;
	return strlen(ret) == ret_line->n - n;
}

static bool number_parse(const char *text, uint64_t *ret)
{
	char *end;

	if (text[0] < '0' || text[0] > '9' || strlen(text) > 18)
		return false;
	*ret = strtoull(text, &end, 10);
	return !*end;
}

static bool hash_parse(const char *text, uint8_t ret[NX_MANIFEST_HASH_LEN])
{
	size_t n = 0;

	return nx_base64_parse(text, strlen(text), ret, NX_MANIFEST_HASH_LEN, &n) &&
		n == NX_MANIFEST_HASH_LEN;
}

static bool release_parse(char *text, struct nx_manifest *m)
{
	char *at = strstr(text, "@v");
	uint64_t version;

	if (!at || (size_t)(at - text) >= sizeof(m->name) || !number_parse(at + 2, &version))
		return false;
	*at = 0;
	memcpy(m->name, text, strlen(text) + 1);
	m->version = (int64_t)version;
	return true;
}

/* `verifier` is "origin+hash+base64 of type and key"; `line` is "origin base64 of hash and
 * signature". */
static bool signature_ok(struct nx_slice text, const char *line, const char *verifier)
{
	const char *plus = strchr(verifier, '+');
	const char *second = plus ? strchr(plus + 1, '+') : NULL;
	const char *space = strrchr(line, ' ');
	uint8_t key[1 + NX_ED25519_PUBLIC_LEN], sig[4 + NX_ED25519_SIG_LEN], hash[4];
	char origin[LINE_MAX_LEN];
	size_t n;

	if (!second || !space || (size_t)(plus - verifier) >= sizeof(origin))
		return false;
	(void)snprintf(origin, sizeof(origin), "%.*s", (int)(plus - verifier), verifier);
	if ((size_t)(space - line) != strlen(origin) || strncmp(line, origin, strlen(origin)) != 0)
		return false;
	if (!nx_base64_parse(second + 1, strlen(second + 1), key, sizeof(key), &n) ||
		n != sizeof(key) || key[0] != MANIFEST_KEY_ED25519)
		return false;
	if (!nx_base64_parse(space + 1, strlen(space + 1), sig, sizeof(sig), &n) ||
		n != sizeof(sig))
		return false;
	manifest_key_hash(origin, key + 1, hash);
	return memcmp(hash, sig, sizeof(hash)) == 0 && nx_ed25519_verify(key + 1, text, sig + 4);
}

struct parse {
	struct nx_slice left;
	struct nx_arena *arena;
	struct nx_manifest *m;
	uint64_t items; /* as announced */
	uint64_t pages;
	uint8_t tree[NX_MANIFEST_DEPTH][NX_MANIFEST_HASH_LEN];
};

static nx_rc head_parse(struct parse *p, const char *verifier, struct nx_err *err)
{
	struct nx_slice whole = p->left, line;
	char text[LINE_MAX_LEN];
	size_t signed_len;

	if (!head_line(&p->left, "narthex-manifest/1", text, sizeof(text), &line) || text[0])
		return nx_err_set(err, NX_E_VERSION, "not a manifest of version 1");
	if (!head_line(&p->left, "release ", text, sizeof(text), &line) ||
		!release_parse(text, p->m))
		return corrupt(err, "release");
	if (!head_line(&p->left, "items ", text, sizeof(text), &line) ||
		!number_parse(text, &p->items) || p->items > whole.n / ENTRY_BYTES_MIN)
		return corrupt(err, "number of items");
	if (!head_line(&p->left, "pages ", text, sizeof(text), &line) ||
		!number_parse(text, &p->pages) || p->pages > p->items)
		return corrupt(err, "number of pages");
	if (!head_line(&p->left, "root ", text, sizeof(text), &line) ||
		!hash_parse(text, p->m->root))
		return corrupt(err, "root");
	signed_len = whole.n - p->left.n;
	if (!head_line(&p->left, "", text, sizeof(text), &line) || text[0])
		return corrupt(err, "end of the head");
	if (!head_line(&p->left, MANIFEST_SIG, text, sizeof(text), &line))
		return corrupt(err, "no signature");
	if (verifier && !signature_ok(nx_slice(whole.p, signed_len), text, verifier))
		return corrupt(err, "the signature does not verify");
	if (!head_line(&p->left, "", text, sizeof(text), &line) || text[0])
		return corrupt(err, "end of the signatures");
	return NX_OK;
}

static const char *string_take(const json_t *value, struct nx_arena *arena)
{
	const char *s = json_string_value(value);

	return s ? nx_arena_str(arena, s, strlen(s)) : NULL;
}

static bool blobs_take(const json_t *list, struct nx_manifest_entry *e, struct nx_arena *arena)
{
	e->n_blobs = json_array_size(list);
	e->blobs = nx_arena_alloc_array(arena, e->n_blobs, sizeof(*e->blobs));
	for (size_t i = 0; e->blobs && i < e->n_blobs; i++) {
		const json_t *pair = json_array_get(list, i);
		json_int_t len = json_integer_value(json_array_get(pair, 0));
		const char *root = json_string_value(json_array_get(pair, 1));

		if (len < 0 || !root || !nx_hex_parse(root, e->blobs[i].root, NX_MANIFEST_HASH_LEN))
			return false;
		e->blobs[i].len = (uint64_t)len;
	}
	return e->blobs;
}

static bool entry_take(const json_t *line, struct nx_manifest_entry *e, struct nx_arena *arena)
{
	const json_t *key = json_object_get(line, "key");
	const char *digest = json_string_value(json_object_get(line, "digest"));
	json_int_t size = json_integer_value(json_object_get(line, "size"));

	e->pseudonym = string_take(json_array_get(key, 0), arena);
	e->series = string_take(json_array_get(key, 1), arena);
	e->instance = string_take(json_array_get(key, 2), arena);
	e->size = (uint64_t)size;
	return e->pseudonym && e->series && e->instance && size >= 0 && digest &&
		nx_hex_parse(digest, e->digest, NX_MANIFEST_HASH_LEN) &&
		blobs_take(json_object_get(line, "blobs"), e, arena);
}

static nx_rc entry_parse(struct parse *p, struct nx_slice line, struct nx_err *err)
{
	struct nx_manifest_entry *e = &p->m->entries[p->m->n_entries];
	json_t *json = json_loadb((const char *)line.p, line.n, JSON_REJECT_DUPLICATES, NULL);
	bool ok = json && entry_take(json, e, p->arena);

	json_decref(json);
	if (!ok)
		return corrupt(err, "an entry does not parse");
	if (p->m->n_entries && nx_manifest_compare(e - 1, e) >= 0)
		return corrupt(err, "entries out of order");
	p->m->n_entries++;
	return NX_OK;
}

static nx_rc page_entries(struct parse *p, struct nx_slice page, uint64_t items, struct nx_err *err)
{
	struct nx_slice line;
	nx_rc rc = NX_OK;

	if (items > p->items - p->m->n_entries)
		return corrupt(err, "more entries than announced");
	for (uint64_t i = 0; i < items && !rc; i++)
		rc = line_next(&page, &line) ? entry_parse(p, line, err)
					     : corrupt(err, "a page ends early");
	return rc || !page.n ? rc : corrupt(err, "a page has more entries than announced");
}

static nx_rc page_parse(struct parse *p, struct nx_err *err)
{
	uint8_t leaf[NX_MANIFEST_HASH_LEN], said[NX_MANIFEST_HASH_LEN];
	char text[LINE_MAX_LEN], *bytes, *hash;
	struct nx_slice line, page;
	uint64_t items, len;

	if (!head_line(&p->left, "page ", text, sizeof(text), &line))
		return corrupt(err, "no page line");
	bytes = strchr(text, ' ');
	hash = bytes ? strchr(bytes + 1, ' ') : NULL;
	if (!hash)
		return corrupt(err, "page line");
	*bytes++ = 0;
	*hash++ = 0;
	if (!number_parse(text, &items) || !number_parse(bytes, &len) || !hash_parse(hash, said) ||
		len > p->left.n)
		return corrupt(err, "page line");
	page = nx_slice(p->left.p, (size_t)len);
	nx_merkle_leaf(page.p, page.n, leaf);
	if (memcmp(leaf, said, sizeof(leaf)) != 0)
		return corrupt(err, "page hash");
	manifest_tree_add(p->tree, p->m->n_pages++, leaf);
	p->left.p += len;
	p->left.n -= (size_t)len;
	return page_entries(p, page, items, err);
}

nx_rc nx_manifest_parse(struct nx_slice bytes, const char *verifier, struct nx_arena *arena,
	struct nx_manifest *ret, struct nx_err *err)
{
	struct nx_manifest m = {.version = 0};
	struct parse p = {.left = bytes, .arena = arena, .m = &m};
	uint8_t root[NX_MANIFEST_HASH_LEN];
	nx_rc rc = head_parse(&p, verifier, err);

	if (rc)
		return rc;
	m.entries = nx_arena_alloc_array(arena, (size_t)p.items, sizeof(*m.entries));
	if (!m.entries)
		return nx_err_set(err, NX_E_NOMEM, "no memory for a manifest");
	for (uint64_t i = 0; i < p.pages && !rc; i++) {
		rc = page_parse(&p, err);
		if (rc)
			rc = nx_err_prefix(err, rc, "page %llu", (unsigned long long)i);
	}
	if (rc)
		return rc;
	manifest_tree_root(p.tree, p.pages, root);
	if (p.left.n || m.n_entries != p.items)
		return corrupt(err, "not as long as announced");
	if (memcmp(root, m.root, sizeof(root)) != 0)
		return corrupt(err, "the pages do not have the root of the head");
	*ret = m;
	return NX_OK;
}
