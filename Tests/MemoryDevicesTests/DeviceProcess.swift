// A process whose memory is given to devices, and what the tests of the drivers ask of it.

import MemoryDevices
import MemoryOperations
import ModelTesting
import Testing

@testable import MemoryModel

/// A machine with CMA, and a process whose memory devices map.
struct DeviceProcess: ~Copyable {
  var machine: Machine
  let id: Int

  init(megabytes: Int = 256, cma: Int = 128, thp: Bool = false) throws {
    var booted = try Machine.small(megabytes: megabytes, cma: cma, thp: thp)
    let space = booted.createSpace(name: "vm0")
    id = try #require(space)
    machine = booted
  }

  init(_ other: borrowing DeviceProcess) throws {
    id = other.id
    machine = try other.machine.fork()
  }

  /// An anonymous area, every page of it written.
  mutating func populated(_ pages: Int) throws -> Int {
    // Whole huge pages where they are switched on.
    let start = try machine.mapArea(id, pages: pages, [.read, .write], .anonymous).get()
    let run = machine.faultRange(id, start..<start + pages, .write)
    try #require(run.done == pages)
    machine.drainAllLRU()
    return start
  }

  /// Pages whose frames are neighbours within each of the given lengths, and never across them.
  mutating func runs(_ lengths: [Int]) throws -> Int {
    let count = lengths.reduce(0, +)
    let start = try machine.mapArea(id, pages: count, [.read, .write], .anonymous).get()
    var runs: [PFNRun] = []
    _ = machine.allocateRuns(count: 4 * (count + lengths.count), gfp: .zeroedUserPage, into: &runs)
    var free = runs.flatMap { run in (0..<run.count).map { run[$0] } }.sorted()
    var frames: [PFN] = []
    for length in lengths {
      let place = free.indices.dropLast(length).first {
        free[$0 + length].index == free[$0].index + length
      }
      let first = try #require(place)
      frames += free[first..<first + length]
      // One frame stays between this run and the next.
      free.removeSubrange(first..<first + length)
      free.removeAll { $0.index == frames[frames.count - 1].index + 1 }
    }
    for pfn in free { try machine.freePages(pfn, order: 0) }
    let installed = machine.installAnonymous(id, page: start, frames)
    try #require(installed == count)
    machine.drainAllLRU()
    return start
  }

  /// 100 pages: 64 of memory, 16 of a device, 20 of memory; and the device's first frame.
  mutating func withDeviceMemory() throws -> (start: Int, frame: Int) {
    let start = try machine.mapArea(id, pages: 64, [.read, .write], .anonymous).get()
    _ = try machine.mapArea(
      id, start: start + 64, pages: 16, [.read, .write, .shared, .io, .pfnMap],
      .device(firstFrame: 1 << 20)
    ).get()
    _ = try machine.mapArea(id, start: start + 80, pages: 20, [.read, .write], .anonymous).get()
    return (start, 1 << 20)
  }

  mutating func open(
    _ kind: DeviceAttachment.Kind = .vfioV2, disablesHugePages: Bool = false, fine: Bool = false,
    entryLimit: Int = 65535, maximumSegment: Int = 64 << 10, account: LockedAccount? = nil
  ) -> Int {
    machine.openDevice(
      kind, name: "vm0's \(kind.rawValue)", space: id, disablesHugePages: disablesHugePages,
      hasFineSuperpages: fine, entryLimit: entryLimit, maximumSegment: maximumSegment,
      account: account)
  }

  /// Maps pages where the device sees them at the same distance from its address 0, or at `iova`.
  mutating func map(
    _ device: Int, _ start: Int, _ pages: Int, iova: Int = 0, isWrite: Bool = true,
    _ pace: Pace = .slice
  ) throws -> DeviceMapOutcome {
    var map = DeviceMap(
      attachment: device, startPage: start, pages: pages, iova: iova, isWrite: isWrite)
    while case .running = map.advance(&machine, pace) {}
    return try #require(map.outcome)
  }

  /// The mapping of a map call that has to succeed.
  mutating func mapped(
    _ device: Int, _ start: Int, _ pages: Int, iova: Int = 0, isWrite: Bool = true
  ) throws -> DeviceMapping {
    let outcome = try map(device, start, pages, iova: iova, isWrite: isWrite)
    #expect(outcome.refusal == nil)
    let found = machine.deviceMapping(try #require(outcome.mapping))
    return try #require(found).mapping
  }

  /// Unmaps a range of the device's addresses, or everything.
  mutating func unmap(
    _ device: Int, _ iova: Range<Int>? = nil, _ pace: Pace = .slice
  ) throws -> DeviceUnmapOutcome {
    let mappings = try machine.mappingsToUnmap(
      attachment: device, iova: iova ?? 0..<1 << 40
    ).get()
    var unmap = DeviceUnmap(attachment: device, mappings: mappings.map(\.id))
    while case .running = unmap.advance(&machine, pace) {}
    return try #require(unmap.outcome)
  }

  /// The device reaches for pages of an on-demand region.
  mutating func access(_ device: Int, _ mapping: Int, _ pages: Range<Int>) throws -> DeviceAccess {
    var access = OnDemandAccess(attachment: device, mapping: mapping, pages: pages)
    let outcome = access.run(&machine)
    return try #require(outcome)
  }

  /// The first invariant that fails.
  var sound: String? { machine.check() ?? machine.checkMemory() }

  /// What breaks if a call has left anything: a pin, a count, a broken invariant.
  var leftovers: String? {
    let space = machine.spaces[id]
    let counts = (space.lockedPages, space.pinnedPages, machine.devices.userLockedPages)
    if !machine.pins.isEmpty { return "\(machine.pins.count) pins are left" }
    if counts != (0, 0, 0) { return "counts are left: \(counts)" }
    if machine.devices.attachments.contains(where: { machine.isBusy(device: $0.id) }) {
      return "a device is busy"
    }
    return sound
  }
}
