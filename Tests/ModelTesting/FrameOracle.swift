public import MemoryModel

// The naive model: one Bool per frame, and the blocks that are held. It has no lists and no opinion
// on which block comes next, only on what is never allowed.

/// Who owns each frame of a machine: AI.1, AI.2, AI.3, AI.8, AI.11, AI.20 and AI.23.
public struct FrameOracle {
  /// A block that the test holds.
  public struct Held {
    public var pfn: Int
    public var order: Int
    /// Waits in the LRU batch of this CPU, which keeps a reference.
    public var lruCPU: Int?
  }

  public private(set) var held: [Held] = []
  private var isTaken: [Bool]
  /// Frames that the allocator may ever hand out.
  private let isManaged: [Bool]
  private let managedCount: Int

  /// Starts from a machine of which the test holds nothing.
  public init(_ machine: borrowing Machine) {
    isTaken = Array(repeating: false, count: machine.frames.count)
    var managed = isTaken
    for block in Self.listed(machine) {
      for frame in block.pfn..<block.pfn + 1 << block.order { managed[frame] = true }
    }
    isManaged = managed
    managedCount = managed.count { $0 }
  }

  /// Records a block that the machine handed out.
  ///
  /// - Returns: What is wrong with it, or nil.
  public mutating func take(
    _ pfn: Int, order: Int, _ gfp: GFPFlags, from machine: borrowing Machine
  ) -> String? {
    let name = "the block of order \(order) at 0x\(String(pfn, radix: 16))"
    if pfn % (1 << order) != 0 { return "AI.20: \(name) is not aligned" }
    for frame in pfn..<pfn + 1 << order {
      guard frame < isTaken.count, isManaged[frame] else {
        return "AI.20: \(name) reaches unmanaged frame 0x\(String(frame, radix: 16))"
      }
      if isTaken[frame] { return "AI.1: frame 0x\(String(frame, radix: 16)) is handed out twice" }
      isTaken[frame] = true
    }
    held.append(Held(pfn: pfn, order: order))
    guard let id = machine.frames.zone(of: PFN(pfn)) else { return "AI.20: \(name) is in no zone" }
    let zone = machine.zone(id).index
    if zone > Self.highestZone(gfp) {
      return "AI.20: \(name) for \(gfp.description) lies in zone \(zone.name)"
    }
    if zone == .movable, !gfp.isSuperset(of: [.movable, .highMem]) {
      return "AI.23: \(name) for \(gfp.description) lies in zone Movable"
    }
    if machine.frames.migrateType(PFN(pfn)) == .cma, !gfp.contains(.movable) {
      return "AI.8: \(name) for \(gfp.description) lies in a CMA pageblock"
    }
    if gfp.contains(.thisNode), machine.zone(id).node != machine.cpuNodes[machine.currentCPU] {
      return "A1.13: \(name) for \(gfp.description) lies on node \(machine.zone(id).node)"
    }
    let state = machine.frames.head(PFN(pfn))
    if state.kind != .allocated || state.order != order {
      return "AI.20: \(name) is not marked as allocated"
    }
    return nil
  }

  /// Forgets one of the held blocks, which the caller frees.
  public mutating func giveBack(at index: Int) -> Held {
    let last = held.count - 1
    held.swapAt(index, last)
    let block = held.removeLast()
    for frame in block.pfn..<block.pfn + 1 << block.order { isTaken[frame] = false }
    return block
  }

  /// Notes that the block at `index` waits in an LRU batch, or (nil) that all have left it.
  public mutating func setLRU(at index: Int, cpu: Int) { held[index].lruCPU = cpu }

  public mutating func leaveLRUBatch(cpu: Int) {
    for index in held.indices where held[index].lruCPU == cpu { held[index].lruCPU = nil }
  }

  /// Rule A2.3, as the table gives it.
  private static func highestZone(_ gfp: GFPFlags) -> ZoneIndex {
    switch gfp.rawValue & 0xF {
    case 0x1, 0x9: .dma
    case 0x4, 0xC: .dma32
    case 0xA: .movable
    default: .normal
    }
  }

  private static func listed(_ machine: borrowing Machine) -> [(pfn: Int, order: Int, zone: Int)] {
    var result: [(Int, Int, Int)] = []
    for zone in machine.populatedZones {
      for order in 0...machine.geometry.maxOrder {
        for type in MigrateType.allCases {
          for pfn in machine.freeBlocks(zone, order: order, type) {
            result.append((pfn, order, zone))
          }
        }
      }
      for cpu in 0..<machine.cpuCount {
        for list in 0..<PerCPUPages.listCount {
          let order = PerCPUList.order(list, pageblockOrder: machine.geometry.pageblockOrder)
          for pfn in machine.perCPUBlocks(zone, cpu: cpu, list: list) {
            result.append((pfn, order, zone))
          }
        }
      }
    }
    return result
  }

  /// Compares every frame: on exactly one list, or held, and no two free buddies.
  ///
  /// - Returns: The first disagreement, or nil.
  public func difference(from machine: borrowing Machine) -> String? {
    var seen = isTaken
    var count = held.reduce(0) { $0 + 1 << $1.order }
    for block in Self.listed(machine) {
      for frame in block.pfn..<block.pfn + 1 << block.order {
        if seen[frame] { return "AI.1: frame 0x\(String(frame, radix: 16)) has two owners" }
        if !isManaged[frame] {
          return "AI.2: unmanaged frame 0x\(String(frame, radix: 16)) is on a list"
        }
        seen[frame] = true
      }
      count += 1 << block.order
    }
    if count != managedCount {
      return "AI.11: \(count) frames are accounted for, of \(managedCount)"
    }
    for zone in machine.populatedZones {
      for order in 0..<machine.geometry.pageblockOrder {
        var free: Set<Int> = []
        for type in MigrateType.allCases {
          free.formUnion(machine.freeBlocks(zone, order: order, type))
        }
        if let pfn = free.first(where: { free.contains($0 ^ (1 << order)) }) {
          return "AI.3: two buddies of order \(order) at 0x\(String(pfn, radix: 16)) are free"
        }
      }
    }
    return nil
  }
}
