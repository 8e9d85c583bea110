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

void nx_thread_stacks(void)
{
	pthread_attr_t attr;

	(void)pthread_attr_init(&attr);
	(void)pthread_attr_setstacksize(&attr, NX_THREAD_STACK_LEN);
	(void)pthread_setattr_default_np(&attr);
	(void)pthread_attr_destroy(&attr);
}
