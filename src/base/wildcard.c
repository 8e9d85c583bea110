#include "base/wildcard.h"

static bool same(char a, char b, bool fold)
{
	if (fold && a >= 'A' && a <= 'Z')
		a = (char)(a + 'a' - 'A');
	if (fold && b >= 'A' && b <= 'Z')
		b = (char)(b + 'a' - 'A');
	return a == b;
}

/* After a mismatch the last star takes one character more. */
bool nx_wildcard(const char *pattern, size_t n, const char *text, size_t len, bool fold)
{
	const char *end = pattern + n, *stop = text + len, *star = NULL, *from = text;

	while (text < stop) {
		if (pattern < end && *pattern == '*') {
			star = ++pattern;
			from = text;
		} else if (pattern < end && (*pattern == '?' || same(*pattern, *text, fold))) {
			pattern++;
			text++;
		} else if (star) {
			pattern = star;
			text = ++from;
		} else {
			return false;
		}
	}
	while (pattern < end && *pattern == '*')
		pattern++;
	return pattern == end;
}
