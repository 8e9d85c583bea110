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

int64_t nx_rejection_parse(const char *word)
{
	for (size_t i = NX_REJECTION_QUALITY; i < NX_ARRAY_LEN(rejections); i++)
		if (strcmp(rejections[i], word) == 0)
			return (int64_t)i;
	return 0;
}
