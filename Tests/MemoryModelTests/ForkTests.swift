import ModelTesting
import Testing

@testable import MemoryModel

/// Copies of machines and of the tables they are made of.
@Suite struct ForkTests {
  private func machine() throws -> Machine {
    var configuration = MachineConfiguration()
    try configuration.layOut(bytesPerNode: [24 << 20, 16 << 20])
    configuration.cpuNodes = [0, 1]
    configuration.cmaAreas = [.init(name: "reserved", pages: 1024)]
    return try Machine.boot(configuration)
  }

  @Test("A fork is equal, and goes on equally")
  func equalBehaviour() throws {
    for seed in Seeds.list(1...4) {
      var run = RandomRun(try machine(), seed: seed)
      let broken = try run.run(steps: 300, interval: 100)
      #expect(broken == nil)
      var fork = try run.machine.fork()
      var original = try run.machine.fork()
      #expect(difference(fork, run.machine) == nil)
      for index in 0..<200 {
        let gfp: GFPFlags = index % 3 == 0 ? .kernel : .highUserMovable
        let one = original.allocatePages(order: index % 5, gfp: gfp)
        let other = fork.allocatePages(order: index % 5, gfp: gfp)
        #expect(one == other)
      }
      #expect(difference(original, fork) == nil, "seed \(seed)")
    }
  }

  @Test("Neither side of a fork sees what the other does")
  func independence() throws {
    var original = try machine()
    let held = original.allocate(50, order: 0, .highUserMovable)
    let untouched = try original.fork()
    var fork = try original.fork()
    try fork.free(held)
    fork.drainAllPages()
    fork.run(onCPU: 1)
    _ = fork.allocate(20, order: 9, .kernel)
    try fork.write(.minFreeKbytes, "512")
    fork.failAllocation = 3
    #expect(difference(original, untouched) == nil)
    #expect(difference(original, fork) != nil)
    #expect(fork.check() == nil)
  }

  @Test("AI.21: two machines that did the same are the same")
  func determinism() throws {
    for seed in Seeds.list(11...14) {
      var one = RandomRun(try machine(), seed: seed)
      var other = RandomRun(try machine(), seed: seed)
      let brokenOne = try one.run(steps: 400, interval: 400)
      let brokenOther = try other.run(steps: 400, interval: 37)
      #expect(brokenOne == nil && brokenOther == nil)
      #expect(difference(one.machine, other.machine) == nil, "seed \(seed)")
    }
  }
}

/// The one table type that owns memory.
@Suite struct ArenaTests {
  @Test("What was never written is zero, in the copy as well")
  func sparseCopy() throws {
    // 8 GiB of address space, three pages of it touched.
    let count = 1 << 30
    var arena = try Arena<UInt64>(count: count)
    arena[0] = 1
    arena[count / 2] = 2
    arena[count - 1] = 3
    let copy = try arena.copy()
    #expect(copy[0] == 1)
    #expect(copy[count / 2] == 2)
    #expect(copy[count - 1] == 3)
    #expect(copy[1] == 0)
    #expect(copy[count / 4] == 0)
  }

  @Test("A copy is equal until either side is written")
  func equality() throws {
    // An odd number of bytes, so that the last page is a part of one.
    var arena = try Arena<UInt8>(count: 3 * 4096 + 17)
    arena[3 * 4096 + 16] = 9
    arena[5000] = 7
    var copy = try arena.copy()
    #expect(arena.isEqual(to: copy) == true)
    copy[5001] = 1
    #expect(arena.isEqual(to: copy) == false)
    #expect(arena[5001] == 0)
    copy[5001] = 0
    #expect(arena.isEqual(to: copy) == true)
    arena[3 * 4096 + 16] = 8
    #expect(arena.isEqual(to: copy) == false)
    let longer = try Arena<UInt8>(count: 3 * 4096 + 18)
    #expect(arena.isEqual(to: longer) == false)
  }

  @Test("A copy of a copy, and of a table without elements")
  func chains() throws {
    var arena = try Arena<UInt32>(count: 10_000)
    arena.fill(2000..<6000, with: 5)
    let second = try arena.copy().copy()
    #expect(second.isEqual(to: arena) == true)
    #expect((1999...6000).map { second[$0] }.count { $0 == 5 } == 4000)
    let empty = try Arena<UInt32>(count: 0)
    let emptyCopy = try empty.copy()
    #expect(empty.isEqual(to: emptyCopy) == true)
  }

  @Test("A prefix alone is copied and compared")
  func prefixes() throws {
    for count in [100, 100_000] {
      var arena = try Arena<UInt32>(count: count)
      var copy = try Arena<UInt32>(count: count)
      let half = count / 2 - 3
      arena.fill(0..<count, with: 5)
      copy.assign(from: arena, prefix: half)
      #expect(copy[half - 1] == 5)
      #expect(copy[half] == 0)
      #expect(copy.isEqual(to: arena, prefix: half) == true)
      #expect(copy.isEqual(to: arena, prefix: half + 1) == false)
      copy.assign(from: arena, prefix: 0)
      #expect(copy[half] == 0)
    }
  }

  @Test("Tables that expect dense use hold what others hold, and so do their copies")
  func denseUse() throws {
    var arena = try Arena<UInt64>(count: 1 << 20)
    var plain = try Arena<UInt64>(count: 1 << 20)
    arena.expectDenseUse(of: 1000..<900_001)
    arena.expectDenseUse(of: 5..<6)
    for index in stride(from: 0, to: 1 << 20, by: 9999) {
      arena[index] = UInt64(index)
      plain[index] = UInt64(index)
    }
    let copy = try arena.copy()
    #expect(arena.isEqual(to: plain) == true)
    #expect(copy.isEqual(to: plain) == true)
  }

  @Test("More than the address space is refused in words")
  func refusal() {
    let error = #expect(throws: MemoryError.self) {
      let arena = try Arena<UInt8>(count: 1 << 50)
      _ = arena.count
    }
    #expect(
      error?.message
        == "this computer cannot reserve 1073741824 MiB of address space for the model; ask for a "
        + "smaller machine")
  }
}

@Suite struct SplitMix64Tests {
  @Test("The published sequence of seed 0")
  func knownSequence() {
    var random = SplitMix64(seed: 0)
    let values = (0..<3).map { _ in random.next() }
    #expect(values == [0xE220_A839_7B1D_CDAF, 0x6E78_9E6A_A1B9_65F4, 0x06C4_5D18_8009_454F])
  }

  @Test("Bounded numbers reach every value and stay below the bound")
  func bounded() {
    var random = SplitMix64(seed: 1)
    for bound in [1, 2, 3, 10, 1000] {
      var seen: Set<Int> = []
      for _ in 0..<bound * 20 { seen.insert(random.below(bound)) }
      #expect(seen == Set(0..<bound))
    }
  }
}

extension Arena {
  /// A second arena with the same content, made as a fork makes its tables.
  fileprivate func copy() throws(MemoryError) -> Arena {
    var result = try Arena(count: count)
    result.assign(from: self)
    return result
  }
}
