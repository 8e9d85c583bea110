#include "dicom/dicom_priv.h"

#include <stdio.h>
#include <string.h>

#include "base/limits.h"
#include "base/secret.h"

const struct nx_ts *nx_ts_find(const char *uid)
{
	for (size_t i = 0; i < nx_ts_table_n; i++)
		if (strcmp(nx_ts_table[i].uid, uid) == 0)
			return &nx_ts_table[i];
	return NULL;
}

const struct nx_ts *nx_ts_at(size_t i)
{
	return i < nx_ts_table_n ? &nx_ts_table[i] : NULL;
}

const char *nx_uid_at(size_t i)
{
	return i < nx_uid_table_n ? nx_uid_table[i].uid : NULL;
}

bool nx_uid_valid(const char *uid, size_t n)
{
	bool after_digit = false;

	if (n > NX_LIMIT_UID)
		return false;
	for (size_t i = 0; i < n; i++) {
		bool digit = uid[i] >= '0' && uid[i] <= '9';

		if (!digit && (uid[i] != '.' || !after_digit))
			return false;
		after_digit = digit;
	}
	return after_digit;
}

void nx_uid_new(char ret[NX_LIMIT_UID + 1])
{
	uint64_t random[2];

	nx_random(random, sizeof(random));
	(void)snprintf(ret, NX_LIMIT_UID + 1, "2.25.%llu%018llu",
		(unsigned long long)(random[0] >> 1) | 1,
		(unsigned long long)(random[1] % 1000000000000000000ull));
}

static const struct nx_uid_entry *uid_find(const char *uid)
{
	size_t lo = 0, hi = nx_uid_table_n;

	while (lo < hi) {
		size_t mid = (lo + hi) / 2;
		int order = strcmp(nx_uid_table[mid].uid, uid);

		if (order == 0)
			return &nx_uid_table[mid];
		if (order < 0)
			lo = mid + 1;
		else
			hi = mid;
	}
	return NULL;
}

const char *nx_uid_name(const char *uid)
{
	const struct nx_uid_entry *entry = uid_find(uid);
	const struct nx_ts *ts;

	if (entry)
		return entry->name;
	ts = nx_ts_find(uid);
	return ts ? ts->name : NULL;
}

bool nx_uid_is_storage(const char *uid)
{
	const struct nx_uid_entry *entry = uid_find(uid);

	return entry && entry->storage;
}
