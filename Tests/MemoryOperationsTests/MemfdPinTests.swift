import MemoryOperations
import ModelTesting
import Testing

@testable import MemoryModel

@Suite struct MemfdPinTests {
  private func pin(
    _ process: inout HugeProcess, _ file: Int, _ pages: ClosedRange<Int>, maximum: Int = 1 << 20,
    _ pace: Pace = .slice
  ) throws -> MemfdPinOutcome {
    var pin = MemfdPin(
      MemfdPinRequest(
        file: file, start: pages.lowerBound << 12, end: pages.upperBound << 12 | 4095,
        maximumFolios: maximum, space: process.id))
    while pin.advance(&process.machine, pace) == .running {}
    return try #require(pin.outcome)
  }

  @Test("P3.70: shmem, cached pages and holes, one pin a folio; those in CMA move")
  func shmem() throws {
    for pace in [Pace.slice, .step] {
      var process = try HugeProcess(megabytes: 128, cma: 80 << 8)
      let file = try process.machine.createFile(.shmem, name: "memfd", pages: 256).get()
      let start = try process.machine.mapArea(
        process.id, pages: 256, [.read, .write, .shared], .file(file, offset: 0)
      ).get()
      _ = process.fault(start..<start + 128)
      let outcome = try pin(&process, file, 0...255, pace)
      #expect(outcome.folios == 256 && outcome.offset == 0 && outcome.refusal == nil)
      #expect(process.machine.files[file].cachedPages == 256)
      let record = try #require(process.machine.pins.first)
      #expect(record.isPerFolio && record.pages == 256)
      for page in 0..<256 {
        let cached = process.machine.cachedFrame(file, page: page)
        let pfn = try #require(cached)
        #expect(process.machine.frames.migrateType(pfn) != .cma)
        #expect(process.machine.pinCount(Folio(pfn, order: 0)) == 1)
      }
      #expect(process.event("pgmigrate_fail") == 0)
      #expect(process.sound == nil)
      process.unpin(record.id)
      #expect(process.sound == nil)
    }
  }

  @Test("P3.70: hugetlb, one pin for 512 pages; the offset lies in the first folio")
  func hugetlb() throws {
    for pace in [Pace.slice, .step] {
      var process = try HugeProcess(megabytes: 256, pool: 6, cma: 128 << 8)
      let (start, file) = try process.map(6, shared: true)
      _ = process.fault(start..<start + 2048)
      let outcome = try pin(&process, file, 3...2047, pace)
      #expect(outcome.folios == 4 && outcome.offset == 3 << 12)
      #expect(process.event("pgmigrate_success") == 2048)
      let folio = try process.folio(start)
      #expect(process.machine.pinCount(folio) == 1)
      #expect(process.machine.references(folio) == 514)
      #expect(process.machine.pinsHolding(folio).first?.pages == 1)
      // D-35: the pool's free pages lie in CMA, so a hole is not filled, and nothing stays pinned.
      let refused = try pin(&process, file, 0...3071, pace)
      #expect(refused.folios == 0 && refused.refusal?.errno == .ENOMEM)
      #expect(try process.counts() == [6, 2, 2, 0])
      #expect(process.sound == nil)
      process.unpin(try #require(outcome.pin))
      #expect(process.sound == nil)
    }
  }

  @Test("P3.70: a hole of a hugetlb file is filled from the promises")
  func hole() throws {
    var process = try HugeProcess(pool: 3)
    let (start, file) = try process.map(3, shared: true)
    let outcome = try pin(&process, file, 0...1535, maximum: 2)
    #expect(outcome.folios == 2)
    #expect(try process.counts() == [3, 1, 1, 0])
    #expect(process.sound == nil)
    process.unpin(try #require(outcome.pin))
    _ = process.machine.unmap(process.id, start..<start + 1536)
    #expect(try process.counts() == [3, 3, 0, 0])
    #expect(process.sound == nil)
  }

  @Test("P3.70: arguments that the kernel refuses")
  func arguments() throws {
    var process = try HugeProcess()
    let file = try process.machine.createFile(.shmem, name: "f", pages: 4).get()
    let disk = try process.machine.createFile(.regular, name: "d", pages: 4).get()
    let requests = [
      MemfdPinRequest(file: file, start: -1, end: 0, maximumFolios: 1),
      MemfdPinRequest(file: file, start: 2, end: 1, maximumFolios: 1),
      MemfdPinRequest(file: file, start: 0, end: 1, maximumFolios: 0),
      MemfdPinRequest(file: file, start: 0, end: 4 << 12, maximumFolios: 1),
      MemfdPinRequest(file: disk, start: 0, end: 1, maximumFolios: 1),
      MemfdPinRequest(file: 99, start: 0, end: 1, maximumFolios: 1),
    ]
    for request in requests {
      var pin = MemfdPin(request)
      let outcome = pin.run(&process.machine)
      #expect(outcome?.refusal?.errno == .EINVAL, "\(request)")
      #expect(process.machine.pins.isEmpty)
    }
  }

  @Test("a pin that is ended at any step leaves nothing behind")
  func interrupted() throws {
    for steps in 0..<60 {
      var process = try HugeProcess(megabytes: 256, pool: 3, cma: 128 << 8)
      let (start, file) = try process.map(2, shared: true)
      _ = process.fault(start..<start + 1024)
      var pin = MemfdPin(
        MemfdPinRequest(file: file, start: 0, end: 1023 << 12, maximumFolios: 8))
      for _ in 0..<steps where pin.outcome == nil { _ = pin.advance(&process.machine, .step) }
      if pin.outcome != nil { break }
      pin.interrupt(&process.machine)
      #expect(process.machine.pins.isEmpty)
      let broken = process.sound
      #expect(broken == nil, "after \(steps) steps")
    }
  }

  @Test("P3.70: the n-th allocation fails, a reference appears, a signal comes: no pin is left")
  func faults() throws {
    for isHuge in [false, true] {
      // Free huge pages in CMA would not serve a hole (D-35).
      var start = try HugeProcess(
        megabytes: 64, pool: isHuge ? 4 : 0, cma: isHuge ? 0 : 32 << 8)
      let file: Int
      let pages: Int
      if isHuge {
        let (first, made) = try start.map(2, shared: true)
        _ = start.fault(first..<first + 512)
        (file, pages) = (made, 1024)
      } else {
        file = try start.machine.createFile(.shmem, name: "memfd", pages: 12).get()
        let first = try start.machine.mapArea(
          start.id, pages: 12, [.read, .write, .shared], .file(file, offset: 0)
        ).get()
        _ = start.fault(first..<first + 8)
        pages = 12
      }
      let request = MemfdPinRequest(
        file: file, start: 0, end: pages << 12 - 1, maximumFolios: 64, space: start.id)
      let folios = isHuge ? 2 : 12
      func conclude(
        _ machine: inout Machine, _ pin: MemfdPin, _ note: Comment
      ) throws {
        let outcome = try #require(pin.outcome)
        #expect(outcome.folios == folios || outcome.refusal != nil, note)
        #expect(machine.pins.map(\.pages) == (outcome.folios > 0 ? [outcome.folios] : []), note)
        machine.failAllocation = 0
        for reference in machine.temporaryReferences {
          machine.putTemporaryReference(reference.id)
        }
        for record in machine.pins {
          var unpin = UnpinOperation(pin: record, dirty: false)
          unpin.run(&machine)
        }
        let broken = machine.check() ?? machine.checkMemory() ?? machine.brokenCount()
        #expect(broken == nil, note)
        #expect(machine.operationsInProgress == 0, note)
        var again = MemfdPin(request)
        while again.advance(&machine, .slice) == .running {}
        #expect(again.outcome?.folios == folios, "\(note.rawValue): \(again)")
        let left = machine.check() ?? machine.checkMemory() ?? machine.brokenCount()
        #expect(left == nil, note)
      }
      for nth in 1...20 {
        var machine = try start.machine.fork()
        machine.failAllocation = nth
        var pin = MemfdPin(request)
        while pin.advance(&machine, .slice) == .running {}
        let wasUsed = machine.failAllocation == 0
        try conclude(&machine, pin, "huge \(isHuge), allocation \(nth)")
        if !wasUsed { break }
      }
      var now = try start.machine.fork()
      var pin = MemfdPin(request)
      var step = 0
      while pin.outcome == nil, step < 5000 {
        if step < 30 || step % 9 == 0 {
          var machine = try now.fork()
          var copy = pin
          copy.interrupt(&machine)
          try conclude(&machine, copy, "huge \(isHuge), signal before step \(step)")
          machine = try now.fork()
          copy = pin
          let cached = machine.cachedFrame(file, page: step % 8)
          let isThere = cached.map { machine.folio(of: $0) != nil } ?? false
          if let cached, isThere { _ = machine.takeTemporaryReference(cached, holder: "a lookup") }
          while copy.advance(&machine, .slice) == .running {}
          try conclude(&machine, copy, "huge \(isHuge), reference before step \(step)")
        }
        _ = pin.advance(&now, .step)
        step += 1
      }
    }
  }
}
