// SPDX-License-Identifier: Apache-2.0
#include "vmm/machine/written.h"

#include <string.h>

#include "vmm/lib/log.h"
#include "vmm/machine/machine.h"
#include "vmm/mem/dirty_log.h"

size_t written_log_words(const struct ram *ram)
{
	size_t most = 0;

	for (unsigned int i = 0; i < ram->regions; i++)
		if (dirty_log_words(ram, &ram->region[i]) > most)
			most = dirty_log_words(ram, &ram->region[i]);
	return most;
}

int written_begin(struct machine *machine, struct why *why)
{
	dirty_log_switch(machine->ram.dirty, true);
	int error = vm_log_ram(&machine->vm, &machine->ram, true);
	return error ? why_set(why, error, "KVM cannot log what the guest writes: %s",
			       strerror(-error))
		     : 0;
}

int written_take(const struct machine *machine, unsigned int region, uint64_t *log, uint64_t *bits,
		 struct why *why)
{
	const struct ram *ram = &machine->ram;
	size_t words = dirty_log_words(ram, &ram->region[region]);

	/* KVM may tell of a part alone. */
	memset(log, 0, words * sizeof(*log));
	int error = vm_take_dirty(&machine->vm, ram, region, log);
	for (size_t w = 0; w < words; w++)
		bits[w] |= log[w];
	dirty_log_take(ram->dirty, region, bits);
	return error ? why_set(why, error, "KVM does not tell what the guest writes: %s",
			       strerror(-error))
		     : 0;
}

void written_end(struct machine *machine)
{
	int error = vm_log_ram(&machine->vm, &machine->ram, false);
	if (error)
		log_warn(
			"KVM still logs what the guest writes, which makes it slower: %s; restart the "
			"guest at a good moment",
			strerror(-error));
	dirty_log_switch(machine->ram.dirty, false);
}
