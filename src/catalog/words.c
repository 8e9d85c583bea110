/* Words of numbers on disk, as they go over the wire. */
#include <string.h>

#include "catalog/catalog.h"

static const char *const rejections[] = {
	[NX_REJECTION_QUALITY] = "quality",
	[NX_REJECTION_SAFETY] = "safety",
	[NX_REJECTION_WORKLIST] = "worklist",
	[NX_REJECTION_RETENTION] = "retention",
};

const char *nx_rejection_word(int64_t reason)
{
	return reason > 0 && reason < (int64_t)NX_ARRAY_LEN(rejections) ? rejections[reason] : "";
}

static int64_t number_of(const char *const *words, size_t n, const char *word)
{
	for (size_t i = 1; i < n; i++)
		if (strcmp(words[i], word) == 0)
			return (int64_t)i;
	return 0;
}

int64_t nx_rejection_parse(const char *word)
{
	return number_of(rejections, NX_ARRAY_LEN(rejections), word);
}

static const char *const worklist[] = {
	[NX_WORKLIST_SCHEDULED] = "scheduled",
	[NX_WORKLIST_STARTED] = "started",
	[NX_WORKLIST_COMPLETED] = "completed",
	[NX_WORKLIST_DISCONTINUED] = "discontinued",
	[NX_WORKLIST_EXPIRED] = "expired",
};

const char *nx_worklist_word(int64_t state)
{
	return state > 0 && state < NX_WORKLIST_STATES_ ? worklist[state] : "";
}

int64_t nx_worklist_parse(const char *word)
{
	return number_of(worklist, NX_ARRAY_LEN(worklist), word);
}
