// SPDX-License-Identifier: Apache-2.0
#include "vmm/lib/end_signals.h"

#include <stddef.h>

static const int ends[] = {SIGINT, SIGTERM, SIGHUP};

void end_signals(sigset_t *set)
{
	sigemptyset(set);
	for (size_t i = 0; i < sizeof(ends) / sizeof(ends[0]); i++)
		sigaddset(set, ends[i]);
}

void end_signals_hold(sigset_t *held, sigset_t *before)
{
	struct sigaction action;

	sigemptyset(held);
	for (size_t i = 0; i < sizeof(ends) / sizeof(ends[0]); i++)
		if (sigaction(ends[i], NULL, &action) == 0 && action.sa_handler != SIG_IGN)
			sigaddset(held, ends[i]);
	sigprocmask(SIG_BLOCK, held, before);
}
