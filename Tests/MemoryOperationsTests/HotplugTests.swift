import MemoryOperations
import ModelTesting
import Testing

@testable import MemoryModel

/// Memory blocks going offline and coming back: P6.1 to P6.8, as far as nothing has to move.
@Suite struct HotplugTests {
  static let block = 32768

  /// 1 GiB, the upper half of it ZONE_MOVABLE.
  private func booted() throws -> Machine {
    var configuration = MachineConfiguration()
    try configuration.layOut(bytesPerNode: [1 << 30])
    configuration.movablecore = .pages(512 << 8)
    return try Machine.boot(configuration)
  }

  private func offline(_ block: Int, _ machine: inout Machine) throws -> Refusal? {
    var (call, refusal) = try machine.memoryOffline(at: PFN(block * Self.block))
    if call != nil { refusal = call!.run(&machine, rounds: 5) }
    return refusal
  }

  @Test("P6.8: sizes, marks and the span follow; a gap inside the zone stays")
  func sizes() throws {
    var machine = try booted()
    let zone = ZoneIndex.movable.rawValue
    let before = machine.zone(zone)
    #expect(before.start == 4 * Self.block)
    #expect(try offline(5, &machine) == nil)
    #expect(machine.zone(zone).start == before.start && machine.zone(zone).end == before.end)
    #expect(machine.zone(zone).managed == before.managed - Self.block)
    #expect(machine.zone(zone).present == before.present - Self.block)
    #expect(machine.zone(zone).watermarks[1] < before.watermarks[1])
    #expect(machine.check() == nil)
    // The next one makes the gap the zone's edge, and the span skips it.
    #expect(try offline(4, &machine) == nil)
    #expect(machine.zone(zone).start == 6 * Self.block)
    #expect(machine.isMemory(PFN(4 * Self.block)) == false)
    #expect(machine.check() == nil)
    try machine.online(at: PFN(5 * Self.block), .movable)
    #expect(machine.zone(zone).start == 5 * Self.block)
    try machine.online(at: PFN(4 * Self.block), .movable)
    #expect(machine.zone(zone).managed == before.managed)
    #expect(machine.zone(zone).present == before.present)
    #expect((0..<4).allSatisfy { machine.zone(zone).watermarks[$0] == before.watermarks[$0] })
    #expect(machine.freePagesSnapshot(zone) <= before.managed)
    #expect(machine.offlineMemory.isEmpty)
    #expect(machine.check() == nil)
  }

  @Test("P6.1: holes and two zones are EINVAL, a kernel page is EBUSY at once")
  func refusals() throws {
    var machine = try booted()
    // Frame 0 and the firmware's hole.
    #expect(try offline(0, &machine)?.errno == .EINVAL)
    // The end of memory belongs to the firmware.
    #expect(try offline(7, &machine)?.errno == .EINVAL)
    #expect(machine.allocate(1, order: 0, .plain)[0] < 2 * Self.block)
    let held = machine.allocate(1, order: 0, .plain)[0] / Self.block
    #expect(try offline(max(held, 0), &machine) != nil)
    #expect(machine.check() == nil)
    #expect(throws: MemoryError.self) { try machine.memoryOffline(at: PFN(100)) }
    #expect(throws: MemoryError.self) { try machine.online(at: PFN(4 * Self.block), .movable) }
    #expect(try offline(4, &machine) == nil)
    #expect(throws: MemoryError.self) { try machine.memoryOffline(at: PFN(4 * Self.block)) }
  }

  @Test("P6.2, P6.3: a page in use keeps the call busy until a signal; then all is as before")
  func signal() throws {
    var machine = try booted()
    let zone = ZoneIndex.movable.rawValue
    let page = machine.allocate(1, order: 10, .highUserMovable)[0]
    #expect(machine.frames.zone(of: PFN(page)) == zone)
    machine.drainAllPages()
    let before = machine.freePagesSnapshot(zone)
    let local = machine.perCPUPages(zone: zone, cpu: 0)
    var (call, refusal) = try machine.memoryOffline(at: PFN(page / Self.block * Self.block))
    #expect(refusal == nil)
    for _ in 0..<1000 {
      #expect(call!.advance(&machine, .step) == .running)
    }
    // P6.4: the block's memory is out of use, and frees go to the buddy at once.
    #expect(machine.zone(zone).isolatedPageblocks == 64)
    #expect(machine.freePagesSnapshot(zone) == before - Self.block + 1024)
    #expect(machine.perCPUPages(zone: zone, cpu: 0).highMax == 0)
    #expect(machine.perCPUPages(zone: zone, cpu: 0).batch == 1)
    let other = machine.allocate(1, order: 0, .highUserMovable)
    try machine.free(other)
    #expect(machine.perCPUPages(zone: zone, cpu: 0).count == 0)
    #expect(machine.check() == nil)
    call!.hasSignal = true
    refusal = call!.run(&machine, rounds: .max)
    #expect(refusal?.errno == .EINTR)
    #expect(machine.freePagesSnapshot(zone) == before)
    #expect(machine.perCPUPages(zone: zone, cpu: 0).highMax == local.highMax)
    #expect(machine.zone(zone).isolatedPageblocks == 0)
    #expect(machine.check() == nil)
  }

  @Test("P6.1: a CMA pageblock inside is EBUSY at once")
  func contiguousArea() throws {
    var configuration = MachineConfiguration()
    try configuration.layOut(bytesPerNode: [1 << 30])
    configuration.cmaAreas = [.init(name: "dev", pages: 512, base: 2 * Self.block)]
    var machine = try Machine.boot(configuration)
    let refusal = try offline(2, &machine)
    #expect(refusal?.errno == .EBUSY && refusal?.rule == "A6.5")
    #expect(machine.check() == nil)
  }

  @Test("A zone can lose all of its memory, and a fork of such a machine is the same")
  func emptyZone() throws {
    var configuration = MachineConfiguration()
    configuration.nodes = [
      .init(memory: [PFNRange(1, 0x9F), PFNRange(0x100, 6 * Self.block)])
    ]
    configuration.reserved = [PFNRange(0, 256)]
    configuration.movablecore = .pages(2 * Self.block)
    var machine = try Machine.boot(configuration)
    let zone = ZoneIndex.movable.rawValue
    #expect(machine.zone(zone).range == PFNRange(4 * Self.block, 6 * Self.block))
    #expect(machine.zonelist(node: 0).first == zone)
    for block in [5, 4] { #expect(try offline(block, &machine) == nil) }
    #expect(machine.zone(zone).spanned == 0 && !machine.zone(zone).isPopulated)
    #expect(machine.zonelist(node: 0).contains(zone) == false)
    #expect(machine.check() == nil)
    var copy = try machine.fork()
    #expect(difference(copy, machine) == nil)
    // Below 4 GiB, but DMA32 no longer reaches there (finding 22 of the recordings).
    try copy.online(at: PFN(4 * Self.block), .kernel)
    #expect(copy.zone(ZoneIndex.normal.rawValue).managed == Self.block)
    #expect(copy.check() == nil)
    try machine.online(at: PFN(5 * Self.block), .movable)
    #expect(machine.zonelist(node: 0).first == zone)
    #expect(machine.allocate(1, order: 0, .highUserMovable)[0] == 5 * Self.block)
    #expect(machine.check() == nil)
  }
}
