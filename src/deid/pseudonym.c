/*
 * What replaces identifiers: everything is derived by HMAC under a key that belongs to the
 * destination collection and lives in the vault domain, so that all instances agree, running again
 * gives the same bytes, and two collections cannot be joined.
 */
#include <stdio.h>
#include <string.h>

#include "catalog/catalog.h"
#include "crypto/crypto.h"
#include "deid/deid_priv.h"

enum {
	SHIFT_DAYS_MAX = 3652 /* ten years */
};

/* HMAC(key, kind || NUL || bytes). */
static void derive(const struct nx_key *key, const char *kind, struct nx_slice bytes,
	uint8_t ret[NX_SHA256_LEN])
{
	uint8_t digest[NX_SHA256_LEN];
	uint8_t msg[64];
	size_t n = strlen(kind);

	/* Long input is hashed first: the message has one length, and no memory is needed. */
	nx_sha256(bytes.p, bytes.n, digest);
	memset(msg, 0, sizeof(msg));
	memcpy(msg, kind, n < 31 ? n : 31);
	memcpy(msg + 32, digest, sizeof(digest));
	nx_hmac_sha256(key, msg, sizeof(msg), ret);
	explicit_bzero(digest, sizeof(digest));
}

/* RFC 4648 section 6. */
static void base32(const uint8_t *p, size_t chars, char *ret)
{
	static const char alphabet[] = "ABCDEFGHIJKLMNOPQRSTUVWXYZ234567";

	for (size_t i = 0; i < chars; i++) {
		size_t bit = i * 5;
		unsigned pair = (unsigned)p[bit / 8] << 8 | p[bit / 8 + 1];

		ret[i] = alphabet[pair >> (11 - bit % 8) & 31];
	}
	ret[chars] = 0;
}

static void collection_key(
	const struct nx_key *vault, const struct nx_collection *to, struct nx_key *ret)
{
	uint8_t context[2 * NX_SHA256_LEN];

	nx_sha256(to->project, strlen(to->project), context);
	nx_sha256(to->name, strlen(to->name), context + NX_SHA256_LEN);
	nx_hkdf(vault, "deid-collection", nx_slice(context, sizeof(context)), ret);
}

void deid_subject_init(struct deid_subject *s, const struct nx_key *vault,
	const struct nx_collection *to, uint64_t subject)
{
	uint8_t mac[NX_SHA256_LEN], id[8];
	unsigned days;

	for (int i = 0; i < 8; i++)
		id[i] = (uint8_t)(subject >> (8 * i));
	s->subject = subject;
	collection_key(vault, to, &s->key);
	derive(&s->key, "pseudonym", nx_slice(id, sizeof(id)), mac);
	memcpy(s->pseudonym, "NX-", 3);
	base32(mac, DEID_PSEUDONYM_LEN - 3, s->pseudonym + 3);
	derive(&s->key, "shift", nx_slice(id, sizeof(id)), mac);
	days = (unsigned)mac[0] << 16 | (unsigned)mac[1] << 8 | mac[2];
	s->shift_days = -1 - (int)(days % SHIFT_DAYS_MAX);
	explicit_bzero(mac, sizeof(mac));
}

void deid_subject_done(struct deid_subject *s)
{
	explicit_bzero(s, sizeof(*s));
}

/* 16 bytes, big endian, to decimal. */
static void decimal(const uint8_t uuid[16], char ret[40])
{
	uint8_t left[16];
	char digits[40];
	size_t n = 0;

	memcpy(left, uuid, sizeof(left));
	for (bool more = true; more;) {
		unsigned rest = 0;

		more = false;
		for (size_t i = 0; i < sizeof(left); i++) {
			unsigned v = rest << 8 | left[i];

			left[i] = (uint8_t)(v / 10);
			rest = v % 10;
			more |= left[i] != 0;
		}
		digits[n++] = (char)('0' + rest);
	}
	for (size_t i = 0; i < n; i++)
		ret[i] = digits[n - 1 - i];
	ret[n] = 0;
}

void deid_uid(const struct deid_subject *s, struct nx_slice uid, char ret[NX_LIMIT_UID + 1])
{
	uint8_t mac[NX_SHA256_LEN];
	char number[40];

	derive(&s->key, "uid", uid, mac);
	mac[6] = (uint8_t)((mac[6] & 0x0f) | 0x80); /* RFC 9562 5.8: version 8, custom */
	mac[8] = (uint8_t)((mac[8] & 0x3f) | 0x80);
	decimal(mac, number);
	(void)snprintf(ret, NX_LIMIT_UID + 1, "2.25.%s", number);
}

void deid_vault_tag(
	const struct deid_subject *s, const char *kind, const char *name, uint8_t ret[DEID_TAG_LEN])
{
	derive(&s->key, kind, nx_slice_str(name), ret);
}

/* ---- dates: the proleptic Gregorian calendar, as a count of days ---- */

static bool is_leap(int y)
{
	return (y % 4 == 0 && y % 100 != 0) || y % 400 == 0;
}

static int days_in_month(int y, int m)
{
	static const int days[] = {31, 28, 31, 30, 31, 30, 31, 31, 30, 31, 30, 31};

	return m == 2 && is_leap(y) ? 29 : days[m - 1];
}

/* Days before January 1 of year `y`, counted from year 1. */
static int days_before_year(int y)
{
	y--;
	return y * 365 + y / 4 - y / 100 + y / 400;
}

static int number(const char *p, size_t n)
{
	int v = 0;

	for (size_t i = 0; i < n; i++) {
		if (p[i] < '0' || p[i] > '9')
			return -1;
		v = v * 10 + (p[i] - '0');
	}
	return v;
}

static void digits_put(int v, size_t n, char *ret)
{
	for (size_t i = n; i; v /= 10)
		ret[--i] = (char)('0' + v % 10);
}

bool deid_date(const struct deid_subject *s, const char from[8], char ret[8])
{
	int y = number(from, 4), m = number(from + 4, 2), d = number(from + 6, 2);
	int days;

	/* The shift must stay inside the calendar. */
	if (y < 100 || m < 1 || m > 12 || d < 1 || d > days_in_month(y, m))
		return false;
	days = days_before_year(y) + d + s->shift_days;
	for (int i = 1; i < m; i++)
		days += days_in_month(y, i);
	y = days / 366 + 1; /* at most the year sought */
	while (days_before_year(y + 1) < days)
		y++;
	days -= days_before_year(y);
	for (m = 1; days > days_in_month(y, m); m++)
		days -= days_in_month(y, m);
	digits_put(y, 4, ret);
	digits_put(m, 2, ret + 4);
	digits_put(days, 2, ret + 6);
	return true;
}
