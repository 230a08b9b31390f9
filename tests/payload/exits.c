// SPDX-License-Identifier: Apache-2.0
/* What leaves the guest: ports and MMIO, of all widths. The host's side: test_exits.py */
#include "virtio.h"

#define PORT_NOBODY 0x5000
#define MMIO_NOBODY (HOLE + 0x08000000)

static void test_hello(void)
{
	print("command line: %s\n", command_line());
}

static void test_ports(void)
{
	/* The UART's scratch register keeps what is written to it. */
	out8(PORT_SERIAL + 7, 0x5a);
	CHECK(in8(PORT_SERIAL + 7) == 0x5a, "the scratch register reads %x", in8(PORT_SERIAL + 7));
	CHECK(in8(PORT_RESET) == 0, "the keyboard controller says %x", in8(PORT_RESET));
	CHECK(in8(PORT_PVPANIC) == 1, "pvpanic says %x", in8(PORT_PVPANIC));
	CHECK(in16(PORT_PM1_CONTROL) == 1, "PM1 control says %x", in16(PORT_PM1_CONTROL));
	CHECK(in32(PORT_PM1_EVENT) == 0, "PM1 event says %x", in32(PORT_PM1_EVENT));
	/* Wanting to sleep otherwise than to be off changes nothing. */
	out16(PORT_PM1_CONTROL, 3 << 10 | 1 << 13);
}

static void test_ports_unclaimed(void)
{
	CHECK(in8(PORT_NOBODY) == 0xff, "8 bits: %x", in8(PORT_NOBODY));
	CHECK(in16(PORT_NOBODY) == 0xffff, "16 bits: %x", in16(PORT_NOBODY));
	CHECK(in32(PORT_NOBODY) == 0xffffffff, "32 bits: %x", in32(PORT_NOBODY));
	out8(PORT_NOBODY, 1);
	out16(PORT_NOBODY, 1);
	out32(PORT_NOBODY, 1);
	/* A device's last port and one that is nobody's: that is no access to the device. */
	CHECK(in32(PORT_PM1_CONTROL) == 0xffffffff, "too wide: %x", in32(PORT_PM1_CONTROL));
	CHECK(in16(PORT_PVPANIC) == 0xffff, "too wide: %x", in16(PORT_PVPANIC));
	out16(PORT_PVPANIC, 1);
	out32(PORT_PM1_CONTROL, 5 << 10 | 1 << 13);
}

static void test_port_strings(void)
{
	static const char text[] = "a string of bytes\n";
	const char *from = text;
	uint64_t count = sizeof(text) - 1;
	__asm__ volatile("rep outsb" : "+S"(from), "+c"(count) : "d"(PORT_SERIAL) : "memory");
	CHECK(count == 0 && from == text + sizeof(text) - 1, "outs left %lu bytes", count);

	uint8_t bytes[8] = {0};
	void *to = bytes;
	count = 7;
	out8(PORT_SERIAL + 7, 0xa7);
	__asm__ volatile("rep insb" : "+D"(to), "+c"(count) : "d"(PORT_SERIAL + 7) : "memory");
	CHECK(count == 0, "ins left %lu bytes", count);
	for (unsigned int i = 0; i < 8; i++)
		CHECK(bytes[i] == (i < 7 ? 0xa7 : 0), "byte %u of 7 is %x", i, bytes[i]);

	uint16_t words[4] = {0};
	to = words;
	count = 3;
	__asm__ volatile("rep insw" : "+D"(to), "+c"(count) : "d"(PORT_PM1_CONTROL) : "memory");
	for (unsigned int i = 0; i < 4; i++)
		CHECK(words[i] == (i < 3 ? 1 : 0), "word %u of 3 is %x", i, words[i]);
}

static void test_mmio_unclaimed(void)
{
	uint64_t at = MMIO_NOBODY;
	CHECK(*(volatile uint8_t *)at == 0xff, "8 bits: %x", *(volatile uint8_t *)at);
	CHECK(*(volatile uint16_t *)at == 0xffff, "16 bits: %x", *(volatile uint16_t *)at);
	CHECK(mmio_read32(at) == 0xffffffff, "32 bits: %x", mmio_read32(at));
	CHECK(load64(at) == ~0ULL, "64 bits: %lx", load64(at));
	mmio_write32(at, 1);
	CHECK(mmio_read32(at) == 0xffffffff, "after a write: %x", mmio_read32(at));
}

static void test_registers(void)
{
	struct device dev;
	if (!device_find(&dev))
		return;
	CHECK(dev.base == 0xd0000000 && dev.gsi == 5, "at %lx with interrupt %u", dev.base,
	      dev.gsi);
	CHECK(device_read(&dev, REG_MAGIC) == 0x74726976, "magic %x", device_read(&dev, REG_MAGIC));
	CHECK(device_read(&dev, REG_VERSION) == 2, "version %u", device_read(&dev, REG_VERSION));
	CHECK(device_read(&dev, REG_DEVICE_ID) == 5, "id %u", device_read(&dev, REG_DEVICE_ID));
	/* The transport's registers have 32 bits, and no other access counts. */
	CHECK(*(volatile uint8_t *)dev.base == 0, "magic in 8 bits: %x",
	      *(volatile uint8_t *)dev.base);
	CHECK(load64(dev.base) == 0, "magic in 64 bits: %lx", load64(dev.base));
	CHECK(mmio_read32(dev.base + 2) == 0, "magic from the middle: %x",
	      mmio_read32(dev.base + 2));

	device_reset(&dev);
	CHECK(device_read(&dev, REG_STATUS) == 0, "status %x", device_read(&dev, REG_STATUS));
	device_write(&dev, REG_STATUS, STATUS_ACKNOWLEDGE);
	device_write(&dev, REG_STATUS, STATUS_ACKNOWLEDGE | STATUS_DRIVER);
	CHECK(device_read(&dev, REG_STATUS) == (STATUS_ACKNOWLEDGE | STATUS_DRIVER), "status %x",
	      device_read(&dev, REG_STATUS));
	/* The configuration space takes all widths: num_pages is 0, actual is the driver's. */
	CHECK(load64(dev.base + REG_CONFIG) == 0, "configuration %lx",
	      load64(dev.base + REG_CONFIG));
	mmio_write32(dev.base + REG_CONFIG + 4, 0x123);
	CHECK(*(volatile uint8_t *)(dev.base + REG_CONFIG + 4) == 0x23, "actual's low byte: %x",
	      *(volatile uint8_t *)(dev.base + REG_CONFIG + 4));
	CHECK(*(volatile uint16_t *)(dev.base + REG_CONFIG + 4) == 0x123, "actual's low half: %x",
	      *(volatile uint16_t *)(dev.base + REG_CONFIG + 4));
	/* The next device's place is nobody's. */
	CHECK(mmio_read32(dev.base + 0x1000) == 0xffffffff, "behind it: %x",
	      mmio_read32(dev.base + 0x1000));
	device_reset(&dev);
}

/* What is offered is what the command line says; the queues are there, and no more. */
static void test_offer(void)
{
	struct device dev;
	uint64_t expected =
		FEATURE_VERSION_1 | FEATURE_EVENT_IDX | FEATURE_MUST_TELL_HOST | FEATURE_STATS;
	bool reporting = parameter_is("reporting", "1");
	if (reporting)
		expected |= FEATURE_REPORTING | FEATURE_PAGE_POISON | FEATURE_RECLAIM;
	if (reporting && !parameter_is("lazily", "1"))
		expected |= FEATURE_INIT_REPORTED;
	if (!device_find(&dev))
		return;
	CHECK(device_features(&dev) == expected, "features %lx, not %lx", device_features(&dev),
	      expected);
	for (unsigned int i = 0; i < 7; i++) {
		/* Inflate, deflate, statistics, reporting, reclaim, if all is negotiated. */
		bool exists = i < 3 || (i < 5 && reporting);
		device_write(&dev, REG_QUEUE_SELECT, i);
		uint32_t size = device_read(&dev, REG_QUEUE_SIZE_MAX);
		CHECK(exists ? size >= 32 : size == 0, "queue %u holds %u", i, size);
	}
}

const struct test tests[] = {
	{"hello", test_hello},
	{"ports", test_ports},
	{"ports-unclaimed", test_ports_unclaimed},
	{"port-strings", test_port_strings},
	{"mmio-unclaimed", test_mmio_unclaimed},
	{"registers", test_registers},
	{"offer", test_offer},
	{0},
};
