// SPDX-License-Identifier: Apache-2.0
#include "tests/fuzz/guest.h"

#include <linux/virtio_config.h>
#include <linux/virtio_mmio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "vmm/lib/record.h"
#include "vmm/lib/wake.h"
#include "vmm/lib/why.h"

#define TURNS 6	  /* of the worker after one step */
#define STEPS 256 /* of a script */
/* The rings in a queue's 8 KiB: room for 256 descriptors, and for the rings of as many. */
#define AVAIL_AT 0x1000
#define USED_AT	 0x1400
/* A table of a chain: behind them, if it is short. */
#define TABLE_AT  0x1c10
#define TABLE_MAX 62

/* What the driver knows of a queue that it started. */
struct driver_queue {
	unsigned int size;
	struct vring_desc *desc;
	struct vring_avail *avail;
	struct vring_used *used;
	uint16_t next_desc;
	uint16_t seen;	  /* of the used ring */
	unsigned int out; /* descriptors that the device may use */
	/* Of each head: how often it is out, with how many descriptors and writable bytes. */
	uint8_t heads[VIRTIO_QUEUE_SIZE_MAX];
	uint16_t descs[VIRTIO_QUEUE_SIZE_MAX];
	uint64_t writable[VIRTIO_QUEUE_SIZE_MAX];
	bool good; /* so far the driver kept the rules: so must the device */
};

struct guest guest;
static struct driver_queue queues[GUEST_QUEUES];
static const struct guest_record *last_chain; /* of the script */
static struct guest_record machine_record;
static bool ended; /* the guest could not be restored */
static uint8_t *low, *high;

void guest_rings_are_spoilt(void)
{
	for (unsigned int i = 0; i < GUEST_QUEUES; i++)
		queues[i].good = false;
	guest_memory_open();
}

static void spoil(struct driver_queue *queue)
{
	queue->good = false;
	guest_memory_open();
}

/* The device has none of its chains any more: it was stopped, or the device reset. */
static void queue_is_back(unsigned int number)
{
	queues[number] = (struct driver_queue){0};
	guest_memory_take(number, GUEST_ALL_HEADS);
}

static void all_is_back(void)
{
	for (unsigned int i = 0; i < GUEST_QUEUES; i++)
		queue_is_back(i);
}

/* --- registers ------------------------------------------------------------------------------- */

static uint32_t get(uint64_t offset)
{
	uint32_t value;
	virtio_mmio_read(&guest.mmio, offset, &value, sizeof(value));
	return value;
}

static void set(uint64_t offset, uint32_t value)
{
	virtio_mmio_write(&guest.mmio, offset, &value, sizeof(value));
}

/* --- the worker ------------------------------------------------------------------------------ */

void guest_turn(unsigned int queue)
{
	virtio_core_work(&guest.mmio.core, queue);
}

static bool turn(void)
{
	unsigned int deferred = guest.deferred & ~guest.muted;

	guest.deferred &= guest.muted;
	for (unsigned int i = 0; i < GUEST_QUEUES; i++)
		if (!(guest.muted >> i & 1) && guest.doorbell[i] >= 0 &&
		    wake_take(guest.doorbell[i]))
			deferred |= 1u << i;
	for (unsigned int i = 0; deferred >> i; i++)
		if (deferred >> i & 1)
			guest_turn(i);
	return deferred;
}

void guest_work(void)
{
	for (unsigned int i = 0; i < TURNS && turn(); i++)
		;
}

/* --- rings ----------------------------------------------------------------------------------- */

uint64_t guest_gpa(unsigned int place, uint32_t offset)
{
	switch (place & 3) {
	case PLACE_BUFFERS:
		return GUEST_BUFFERS + offset % (GUEST_LOW - GUEST_BUFFERS);
	case PLACE_RINGS:
		return offset % GUEST_BUFFERS;
	case PLACE_HIGH:
		return GUEST_HIGH + offset % GUEST_HIGH_SIZE;
	default:
		return GUEST_LOW - 1 - offset % 0x1000;
	}
}

static void queue_begin(unsigned int number, unsigned int size)
{
	struct driver_queue *queue = &queues[number];
	uint8_t *rings = low + number * GUEST_RING_BYTES;

	memset(rings, 0, GUEST_RING_BYTES);
	*queue = (struct driver_queue){
		.size = size,
		.desc = (struct vring_desc *)rings,
		.avail = (struct vring_avail *)(rings + AVAIL_AT),
		.used = (struct vring_used *)(rings + USED_AT),
		.good = !guest.others_write,
	};
}

static void queue_set_up(unsigned int number, unsigned int size)
{
	uint32_t gpa = number * GUEST_RING_BYTES;

	queue_begin(number, size);
	set(VIRTIO_MMIO_QUEUE_SEL, number);
	set(VIRTIO_MMIO_QUEUE_NUM, size);
	set(VIRTIO_MMIO_QUEUE_DESC_LOW, gpa);
	set(VIRTIO_MMIO_QUEUE_AVAIL_LOW, gpa + AVAIL_AT);
	set(VIRTIO_MMIO_QUEUE_USED_LOW, gpa + USED_AT);
	set(VIRTIO_MMIO_QUEUE_READY, 1);
}

static void start(const struct guest_record *record)
{
	uint64_t features = guest.mmio.core.dev->features_offered & ~(record->c & 0x3fffffffULL);
	uint32_t size = 1u << (record->b & START_SIZE) % 9;

	if (record->c >> 30 & 1)
		features &= 0xffffffffULL | 1ULL << VIRTIO_F_VERSION_1;
	if (record->c >> 31)
		features &= ~(1ULL << VIRTIO_F_VERSION_1);
	set(VIRTIO_MMIO_STATUS, 0);
	all_is_back();
	set(VIRTIO_MMIO_STATUS, VIRTIO_CONFIG_S_ACKNOWLEDGE);
	set(VIRTIO_MMIO_STATUS, VIRTIO_CONFIG_S_ACKNOWLEDGE | VIRTIO_CONFIG_S_DRIVER);
	set(VIRTIO_MMIO_DRIVER_FEATURES_SEL, 1);
	set(VIRTIO_MMIO_DRIVER_FEATURES, features >> 32);
	set(VIRTIO_MMIO_DRIVER_FEATURES_SEL, 0);
	set(VIRTIO_MMIO_DRIVER_FEATURES, (uint32_t)features);
	set(VIRTIO_MMIO_STATUS, get(VIRTIO_MMIO_STATUS) | VIRTIO_CONFIG_S_FEATURES_OK);
	if ((record->b & START_UNTIL) == 0x10)
		return;
	for (unsigned int i = 0; i < guest.mmio.core.dev->queues; i++)
		if (!(record->a >> i & 1))
			queue_set_up(i, size);
	if ((record->b & START_UNTIL) == 0x20)
		return;
	set(VIRTIO_MMIO_STATUS, get(VIRTIO_MMIO_STATUS) | VIRTIO_CONFIG_S_DRIVER_OK);
	guest_work();
}

static struct vring_desc buffer_of(const struct guest_record *record)
{
	struct vring_desc desc = {
		.addr = guest_gpa(record->a, record->c),
		.len = record->b,
		.flags = (uint16_t)((record->op & BUFFER_WRITE ? VRING_DESC_F_WRITE : 0) |
				    (record->op & BUFFER_INDIRECT ? VRING_DESC_F_INDIRECT : 0)),
	};
	if (record->op & (BUFFER_FAR | BUFFER_TOP))
		desc.addr = record->c | (uint64_t)record->a << 32;
	if (record->op & BUFFER_TOP)
		desc.addr |= 0xffffff0000000000ULL;
	if (record->op & BUFFER_PAGES)
		desc.len *= 4096;
	if (record->op & BUFFER_LONG)
		desc.len = (uint32_t)record->b << 16 | record->b;
	return desc;
}

/* A buffer in the rings, or a table of which the driver does not know what is in it. */
static void watch_buffer(const struct vring_desc *desc)
{
	if (desc->flags & VRING_DESC_F_INDIRECT || desc->addr < GUEST_BUFFERS)
		guest_rings_are_spoilt();
}

static void publish(struct driver_queue *queue, uint16_t head)
{
	uint16_t idx = queue->avail->idx;
	queue->avail->ring[idx % queue->size] = head;
	queue->avail->idx = idx + 1;
}

/* Writes @n descriptors, from @table's entry @first on, modulo @size. */
static uint64_t write_chain(struct vring_desc *table, unsigned int size, unsigned int first,
			    const struct guest_record *record, unsigned int n, unsigned int given,
			    bool loop)
{
	uint64_t writable = 0;

	for (unsigned int i = 0; i < n; i++) {
		struct vring_desc desc = buffer_of(&record[i % given]);
		bool last = i + 1 == n;
		if (!last || loop)
			desc.flags |= VRING_DESC_F_NEXT;
		desc.next = (uint16_t)(last ? first : (first + i + 1) % size);
		watch_buffer(&desc);
		if (desc.flags & VRING_DESC_F_WRITE)
			writable += desc.len;
		table[(first + i) % size] = desc;
	}
	return writable;
}

/* Takes as many records as the chain has buffers of its own; returns their number. */
static size_t chain(const struct guest_record *record, size_t left)
{
	struct driver_queue *queue = &queues[record->a % GUEST_QUEUES];
	unsigned int given = record->b & 63;
	unsigned int n = given * (1 + (record->b >> 8));
	unsigned int descs = record->a & CHAIN_INDIRECT ? 1 : n;
	bool loop = record->a & CHAIN_LOOP;
	uint64_t writable;

	if (given > left)
		return left;
	if (n == 0 || n > VIRTIO_QUEUE_SIZE_MAX + 1 || !queue->size)
		return given;
	uint16_t head = queue->next_desc % queue->size;
	if (record->a & CHAIN_INDIRECT) {
		uint64_t gpa = n > TABLE_MAX
				       ? GUEST_HIGH
				       : (record->a % GUEST_QUEUES) * GUEST_RING_BYTES + TABLE_AT;
		/* At this place the table of a chain before may still be in use, or buffers are. */
		if (queue->out > 0 || n > TABLE_MAX)
			spoil(queue);
		struct vring_desc *table = ram_at(&guest.ram, gpa, n * sizeof(*table));
		writable = write_chain(table, n, 0, record + 1, n, given, loop);
		queue->desc[head] =
			(struct vring_desc){gpa, n * sizeof(*table), VRING_DESC_F_INDIRECT, 0};
	} else {
		writable = write_chain(queue->desc, queue->size, head, record + 1, n, given, loop);
	}
	queue->next_desc += descs;
	queue->out += descs;
	/* Chains come back in any order: this place may be one's that is out since the last time round. */
	if (queue->out > queue->size || loop || record->a & CHAIN_AGAIN || queue->heads[head] > 0)
		spoil(queue);
	if (record->a & CHAIN_UNSEEN)
		return given;
	for (unsigned int i = 0; i < given; i++) {
		const struct vring_desc desc = buffer_of(&record[1 + i]);
		guest_memory_give(record->a % GUEST_QUEUES, head, desc.addr, desc.len);
	}
	queue->heads[head]++;
	queue->descs[head] = descs;
	queue->writable[head] = writable;
	for (int i = 0; i < 1 + !!(record->a & CHAIN_AGAIN); i++)
		publish(queue, head);
	if (!(record->a & CHAIN_NO_KICK)) {
		set(VIRTIO_MMIO_QUEUE_NOTIFY, record->a % GUEST_QUEUES);
		guest_work();
	}
	return given;
}

static void poke(const struct guest_record *record)
{
	struct driver_queue *queue = &queues[record->a % GUEST_QUEUES];
	unsigned int index = record->b >> 3;

	if (!queue->size)
		return;
	struct vring_desc *desc = &queue->desc[index % queue->size];
	switch ((enum guest_poke)(record->b & 7)) {
	case POKE_AVAIL_IDX:
		queue->avail->idx = (uint16_t)record->c;
		break;
	case POKE_AVAIL_FLAGS:
		queue->avail->flags = (uint16_t)record->c;
		return;
	case POKE_AVAIL_RING:
		queue->avail->ring[index % queue->size] = (uint16_t)record->c;
		break;
	case POKE_USED_EVENT:
		queue->avail->ring[queue->size] = (uint16_t)record->c;
		return;
	case POKE_DESC_ADDR:
		desc->addr = record->c;
		break;
	case POKE_DESC_LEN:
		desc->len = record->c;
		break;
	case POKE_DESC_FLAGS:
		desc->flags = (uint16_t)record->c;
		desc->next = record->c >> 16;
		break;
	case POKE_USED_IDX:
		queue->used->idx = (uint16_t)record->c;
		break;
	}
	spoil(queue);
}

/* What the device returns to a driver that keeps the rules. */
static void check_used(unsigned int number)
{
	struct driver_queue *queue = &queues[number];

	while (queue->good && queue->seen != queue->used->idx) {
		const struct vring_used_elem *element =
			&queue->used->ring[queue->seen++ % queue->size];
		MUST(element->id < queue->size && queue->heads[element->id] > 0);
		MUST(element->len <= queue->writable[element->id]);
		queue->heads[element->id]--;
		queue->out -= queue->descs[element->id];
		guest_memory_take(number, (int)element->id);
	}
}

/* A chain that was taken off the ring is with the device, or was returned: none is lost. */
static void check_held(unsigned int number)
{
	const struct virtq *q = &guest.mmio.core.dev->queue[number];
	unsigned int held = guest_device.held ? guest_device.held(number) : 0;

	/* Until it is reset, a stopped device does nothing more. */
	if (!q->ready || q->lent || guest.others_write ||
	    guest.mmio.core.status & (VIRTIO_CONFIG_S_NEEDS_RESET | VIRTIO_CONFIG_S_FAILED))
		return;
	MUST((uint16_t)(q->next_avail - q->next_used) == held);
}

/* --- a script -------------------------------------------------------------------------------- */

static size_t data(const struct guest_record *record, size_t left)
{
	size_t len = record->b & 255, records = (len + sizeof(*record) - 1) / sizeof(*record);
	uint64_t gpa = guest_gpa(record->a, record->c);

	if (records > left)
		return left;
	if (gpa < GUEST_BUFFERS)
		guest_rings_are_spoilt();
	guest_memory_write(gpa, record + 1, len);
	return records;
}

static void access_register(const struct guest_record *record, bool write)
{
	uint8_t bytes[8] = {0};
	unsigned int len = 1u << record->a % 4;
	uint64_t offset = record->b % VIRTIO_MMIO_SIZE;

	if (record->a & 0x80)
		offset = VIRTIO_MMIO_CONFIG + offset % 256;
	if (offset + len > VIRTIO_MMIO_SIZE)
		return;
	memcpy(bytes, &record->c, sizeof(record->c));
	if (!write) {
		virtio_mmio_read(&guest.mmio, offset, bytes, len);
		return;
	}
	unsigned int queue = guest.mmio.queue_sel;
	bool known = queue < GUEST_QUEUES && get(VIRTIO_MMIO_QUEUE_READY);
	/* Rings that the driver sets up by hand may be anywhere. */
	if (!known && offset >= VIRTIO_MMIO_QUEUE_NUM && offset <= VIRTIO_MMIO_QUEUE_USED_HIGH &&
	    offset != VIRTIO_MMIO_QUEUE_NOTIFY)
		guest_rings_are_spoilt();
	virtio_mmio_write(&guest.mmio, offset, bytes, len);
	if (known && offset == VIRTIO_MMIO_QUEUE_READY && !get(VIRTIO_MMIO_QUEUE_READY))
		queue_is_back(queue);
	if (get(VIRTIO_MMIO_STATUS) == 0)
		all_is_back();
	guest_work();
}

static bool can_be_saved(void)
{
	struct virtio_core *core = &guest.mmio.core;
	const struct virtio_device_ops *ops = core->dev->ops;
	bool runs = core->status & VIRTIO_CONFIG_S_DRIVER_OK &&
		    !(core->status & VIRTIO_CONFIG_S_NEEDS_RESET);

	return virtio_core_can_save(core) && (!runs || !ops->settled || ops->settled(core->dev));
}

/* Whether the driver has kept the rules on every queue that it started. */
static bool all_is_good(void)
{
	for (unsigned int i = 0; i < GUEST_QUEUES; i++)
		if (queues[i].size && !queues[i].good)
			return false;
	return true;
}

/* Changes what was saved as @record says. */
static void damage(struct record_in *saved, uint8_t *bytes, const struct guest_record *record,
		   unsigned int changes)
{
	for (unsigned int i = 1; i <= changes && saved->left; i++)
		bytes[record[i].b % saved->left] ^= (uint8_t)record[i].c;
	if (saved->left)
		saved->left -= record->b % saved->left;
}

static size_t move(const struct guest_record *record, size_t left)
{
	static uint8_t bytes[8192];
	unsigned int changes = record->a % 8;
	struct why why = {""};

	if (changes > left)
		return left;
	if (!can_be_saved())
		return changes;
	struct record saved = {bytes, sizeof(bytes), 0, false};
	MUST(virtio_core_freeze(&guest.mmio.core, UINT64_MAX));
	virtio_mmio_save(&guest.mmio, &saved);
	virtio_core_thaw(&guest.mmio.core);
	MUST(!saved.full);
	virtio_mmio_release(&guest.mmio);
	guest_device.unplug();

	struct record_in in = {bytes, saved.len, false};
	damage(&in, bytes, record, changes);
	guest.deferred = 0;
	virtio_mmio_init(&guest.mmio, guest_device.plug(&machine_record));
	bool changed = changes > 0 || in.left < saved.len;
	if (changed)
		guest_rings_are_spoilt();
	ended = virtio_mmio_restore(&guest.mmio, &in, &why) != 0;
	/* A driver that wrote over what the device held has harmed itself. */
	MUST(!ended || changed || !all_is_good());
	if (!ended)
		guest_work();
	return changes;
}

/* Does one step. Returns how many of the @left records behind it belong to it. */
static size_t step(const struct guest_record *record, size_t left)
{
	if (record->op == GUEST_MOVE)
		return move(record, left);
	switch ((enum guest_op)(record->op % GUEST_OPS)) {
	case GUEST_START:
		start(record);
		return 0;
	case GUEST_CHAIN:
		last_chain = (record->b & 63) <= left ? record : NULL;
		return chain(record, left);
	case GUEST_AGAIN:
		for (int i = 0; last_chain && i < (record->b & 63); i++)
			chain(last_chain, STEPS);
		return 0;
	case GUEST_DATA:
		return data(record, left);
	case GUEST_KICK:
		set(VIRTIO_MMIO_QUEUE_NOTIFY, record->a);
		guest_work();
		return 0;
	case GUEST_TURN:
		guest_turn(record->a);
		return 0;
	case GUEST_WRITE:
	case GUEST_READ:
		access_register(record, record->op % GUEST_OPS == GUEST_WRITE);
		return 0;
	case GUEST_POKE:
		poke(record);
		return 0;
	case GUEST_EVENT:
		guest_device.event(record);
		guest_work();
		return 0;
	default:
		host_time_passes((uint64_t)record->b << record->a % 32);
		return 0;
	}
}

static uint8_t *region(size_t size)
{
	void *memory = NULL;
	MUST(posix_memalign(&memory, 4096, size) == 0);
	return memory;
}

/* RAM as new, and a host. */
static void machine(const struct guest_record *record)
{
	if (!low) {
		low = region(GUEST_LOW);
		high = region(GUEST_HIGH_SIZE);
	}
	memset(queues, 0, sizeof(queues));
	last_chain = NULL;
	machine_record = *record;
	ended = false;
	guest = (struct guest){
		.ram = {.region = {{0, GUEST_LOW, low}, {GUEST_HIGH, GUEST_HIGH_SIZE, high}},
			.regions = 2,
			.page_size = record->b & 1 ? 16384 : 4096,
			.file = -1,
			.smaps = -1},
		.host = guest_host(),
	};
	for (unsigned int i = 0; i < GUEST_QUEUES; i++)
		guest.doorbell[i] = guest.call[i] = -1;
	guest_memory_open();
	memset(low, 0, GUEST_LOW);
	memset(high, 0, GUEST_HIGH_SIZE);
}

void guest_run(const uint8_t *bytes, size_t size)
{
	static struct guest_record script[STEPS];
	size_t records = size / sizeof(script[0]);

	if (records < 1)
		return;
	if (records > STEPS)
		records = STEPS;
	memcpy(script, bytes, records * sizeof(script[0]));
	host_reset();
	machine(&script[0]);
	virtio_mmio_init(&guest.mmio, guest_device.plug(&script[0]));
	if (!guest.others_write)
		guest_memory_begin();
	for (size_t i = 1; i < records && !ended; i++) {
		i += step(&script[i], records - i - 1);
		for (unsigned int q = 0; !ended && q < guest.mmio.core.dev->queues; q++)
			check_used(q), check_held(q);
		if (!ended && guest_device.check)
			guest_device.check();
	}
	MUST(virtio_core_stop(&guest.mmio.core, UINT64_MAX));
	virtio_mmio_release(&guest.mmio);
	guest_device.unplug();
	for (unsigned int i = 0; i < GUEST_QUEUES; i++) {
		if (guest.doorbell[i] >= 0)
			close(guest.doorbell[i]);
		if (guest.call[i] >= 0)
			close(guest.call[i]);
	}
	MUST(host_open() == 0);
}

int LLVMFuzzerTestOneInput(const uint8_t *data_, size_t size);

int LLVMFuzzerTestOneInput(const uint8_t *data_, size_t size)
{
	guest_run(data_, size);
	return 0;
}
