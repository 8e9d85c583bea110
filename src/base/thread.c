#include "base/thread.h"

#include <pthread.h>
#include <stdio.h>

enum {
	NAME_MAX_LEN = 16 /* the system's, with the terminator */
};

void nx_thread_name(const char *name)
{
	char text[NAME_MAX_LEN];

	(void)snprintf(text, sizeof(text), "%s", name);
	(void)pthread_setname_np(pthread_self(), text);
}
