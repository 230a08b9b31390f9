// SPDX-License-Identifier: Apache-2.0
/*
 * The PC's small devices on the port bus: ACPI's power registers, the clock, the keyboard
 * controller's reset line, the chipset's reset register, and the device through which a Linux guest
 * reports a panic (drivers/misc/pvpanic).
 * Sources: ACPI 6.4 §4.8.3 (PM1 registers) and §4.8.4 (general events), Documentation of QEMU's pvpanic device.
 */
#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "vmm/arch/arch.h"
#include "vmm/arch/platform.h"
#include "vmm/arch/x86_64/generation.h"
#include "vmm/arch/x86_64/layout.h"
#include "vmm/arch/x86_64/state.h"
#include "vmm/lib/clock.h"

#define PM1_SCI_ENABLE	     0x0001
#define PM1_SLEEP_TYPE_SHIFT 10
#define PM1_SLEEP_TYPE_MASK  0x7
#define PM1_SLEEP_ENABLE     0x2000
#define PM1_POWER_BUTTON     0x0100
#define PM1_ENABLE_OFFSET    2
#define PM1_ENABLE_SHIFT     16
#define PM1_ENABLE_MASK	     0xffff

static void i8042_read(void *ctx, uint64_t offset, void *data, unsigned int len)
{
	(void)ctx, (void)offset;
	bus_put(data, len, 0); /* both buffers empty: a command may be written at once */
}

static void i8042_write(void *ctx, uint64_t offset, const void *data, unsigned int len)
{
	const struct arch_platform *platform = ctx;
	(void)offset;
	if ((bus_get(data, len) & 0xff) == I8042_RESET)
		platform->power(platform->ctx, ARCH_RESET);
}

/*
 * A kernel first writes the kind of reset, then triggers it. The register need not keep the kind:
 * all kinds are the same here.
 */
static void reset_read(void *ctx, uint64_t offset, void *data, unsigned int len)
{
	(void)ctx, (void)offset;
	bus_put(data, len, 0);
}

static void reset_write(void *ctx, uint64_t offset, const void *data, unsigned int len)
{
	const struct arch_platform *platform = ctx;
	(void)offset;
	if (bus_get(data, len) & RESET_CPU)
		platform->power(platform->ctx, ARCH_RESET);
}

/* Call it with the lock held, after each change of these registers. */
static void sci(const struct arch_platform *platform)
{
	const struct arch_state *state = platform->state;
	bool level =
		state->events & state->events_enabled || state->general & state->general_enabled;
	platform->interrupt(platform->ctx, level);
}

/* Two registers: events that happened, and events that raise an interrupt. */
static void pm1_event_read(void *ctx, uint64_t offset, void *data, unsigned int len)
{
	struct arch_state *state = ((const struct arch_platform *)ctx)->state;
	pthread_mutex_lock(&state->lock);
	uint32_t both = state->events | state->events_enabled << PM1_ENABLE_SHIFT;
	pthread_mutex_unlock(&state->lock);
	bus_put(data, len, both >> (8 * offset));
}

static void pm1_event_write(void *ctx, uint64_t offset, const void *data, unsigned int len)
{
	const struct arch_platform *platform = ctx;
	struct arch_state *state = platform->state;
	pthread_mutex_lock(&state->lock);
	if (offset == PM1_ENABLE_OFFSET)
		state->events_enabled = bus_get(data, len) & PM1_ENABLE_MASK;
	else if (offset == 0)
		state->events &= ~bus_get(data, len); /* writing a 1 marks an event as seen */
	sci(platform);
	pthread_mutex_unlock(&state->lock);
}

void arch_power_button(struct arch_platform *platform)
{
	struct arch_state *state = platform->state;
	pthread_mutex_lock(&state->lock);
	state->events |= PM1_POWER_BUTTON;
	sci(platform);
	pthread_mutex_unlock(&state->lock);
}

/* The same of general events, in a byte each. */
static void gpe_read(void *ctx, uint64_t offset, void *data, unsigned int len)
{
	struct arch_state *state = ((const struct arch_platform *)ctx)->state;
	pthread_mutex_lock(&state->lock);
	uint32_t both = state->general | (uint32_t)state->general_enabled << 8;
	pthread_mutex_unlock(&state->lock);
	bus_put(data, len, both >> (8 * offset));
}

static void gpe_write(void *ctx, uint64_t offset, const void *data, unsigned int len)
{
	const struct arch_platform *platform = ctx;
	struct arch_state *state = platform->state;
	uint8_t value = (uint8_t)bus_get(data, len);
	pthread_mutex_lock(&state->lock);
	if (offset == 0)
		state->general &= (uint8_t)~value;
	else
		state->general_enabled = value;
	sci(platform);
	pthread_mutex_unlock(&state->lock);
}

static void pm1_control_read(void *ctx, uint64_t offset, void *data, unsigned int len)
{
	(void)ctx;
	bus_put(data, len, offset == 0 ? PM1_SCI_ENABLE : 0);
}

static void pm1_control_write(void *ctx, uint64_t offset, const void *data, unsigned int len)
{
	const struct arch_platform *platform = ctx;
	uint32_t value = (uint32_t)bus_get(data, len);
	uint32_t type = (value >> PM1_SLEEP_TYPE_SHIFT) & PM1_SLEEP_TYPE_MASK;
	if (offset == 0 && value & PM1_SLEEP_ENABLE && type == SLEEP_TYPE_S5)
		platform->power(platform->ctx, ARCH_POWEROFF);
}

static void bus_cmos_read(void *ctx, uint64_t offset, void *data, unsigned int len)
{
	struct arch_state *state = ((const struct arch_platform *)ctx)->state;
	int64_t seconds = (int64_t)(clock_realtime_ns() / NS_PER_S);
	for (unsigned int i = 0; i < len; i++)
		((uint8_t *)data)[i] = cmos_read(&state->cmos, offset + i, seconds);
}

static void bus_cmos_write(void *ctx, uint64_t offset, const void *data, unsigned int len)
{
	struct arch_state *state = ((const struct arch_platform *)ctx)->state;
	for (unsigned int i = 0; i < len; i++)
		cmos_write(&state->cmos, offset + i, ((const uint8_t *)data)[i]);
}

int arch_platform_init(struct arch_platform *platform, struct bus *pio, struct bus *mmio)
{
	const struct bus_range ports[] = {
		{PORT_I8042_STATUS, 1, platform, i8042_read, i8042_write},
		{PORT_CMOS, CMOS_SIZE, platform, bus_cmos_read, bus_cmos_write},
		{PORT_RESET, 1, platform, reset_read, reset_write},
		{PORT_PM1_EVENT, 4, platform, pm1_event_read, pm1_event_write},
		{PORT_PM1_CONTROL, 2, platform, pm1_control_read, pm1_control_write},
		{PORT_GPE, 2, platform, gpe_read, gpe_write},
	};
	(void)mmio;
	int error = platform_no_choices(platform);
	if (!error)
		error = platform_state_new(platform, sizeof(*platform->state));
	if (error)
		return error;
	pthread_mutex_init(&platform->state->lock, NULL);
	cmos_init(&platform->state->cmos);
	for (unsigned int i = 0; i < sizeof(ports) / sizeof(ports[0]); i++) {
		error = bus_add(pio, &ports[i]);
		if (error)
			return error;
	}
	return platform_pvpanic(platform, pio, PORT_PVPANIC, 1);
}

void arch_platform_release(struct arch_platform *platform)
{
	if (!platform->state)
		return;
	pthread_mutex_destroy(&platform->state->lock);
	saved_cpu_release(&platform->state->saved);
	free(platform->state);
	platform->state = NULL;
}

/* --- snapshots --------------------------------------------------------------------------------- */

int arch_platform_save(const struct arch_platform *platform, struct record *record, struct why *why)
{
	struct arch_state *state = platform->state;

	int error = saved_chips_save(platform->vm, record, why);
	pthread_mutex_lock(&state->lock);
	record_u32(record, state->events);
	record_u32(record, state->events_enabled);
	record_u8(record, state->general);
	record_u8(record, state->general_enabled);
	pthread_mutex_unlock(&state->lock);
	cmos_save(&state->cmos, record);
	return error;
}

int arch_platform_restore(struct arch_platform *platform, struct record_in *in, struct why *why)
{
	struct arch_state *state = platform->state;

	int error = saved_chips_restore(platform->vm, in, why);
	if (error)
		return error;
	pthread_mutex_lock(&state->lock);
	state->events = record_take_u32(in) & PM1_POWER_BUTTON;
	state->events_enabled = record_take_u32(in) & PM1_ENABLE_MASK;
	state->general = record_take_u8(in) & 1 << GPE_GENERATION;
	state->general_enabled = record_take_u8(in);
	/* KVM's controllers forget which lines are high. */
	sci(platform);
	pthread_mutex_unlock(&state->lock);
	cmos_restore(&state->cmos, in);
	return record_complete(in) ? 0
				   : why_set(why, -EINVAL, "the state of its machine is malformed");
}

int arch_new_generation(struct arch_platform *platform, const struct ram *ram, struct why *why)
{
	struct arch_state *state = platform->state;

	if (generation_begin(ram))
		return why_set(why, -EAGAIN,
			       "the host has no random numbers for it yet: try again");
	pthread_mutex_lock(&state->lock);
	state->general |= 1 << GPE_GENERATION;
	sci(platform);
	pthread_mutex_unlock(&state->lock);
	return 0;
}
