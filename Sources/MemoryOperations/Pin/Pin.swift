public import MemoryModel

// Invariant: `cursor` covers exactly the pages that this call holds right now. When it finishes with
// a refusal and no pages, nothing of it is left (I9).

/// Takes pages of a process: the fast walk, the slow walk with its faults, and for long-term pins
/// the check and migration (rules P3.11 to P3.55).
///
/// Kernel: `gup_fast_fallback()`, `__gup_longterm_locked()`, `__get_user_pages()`, mm/gup.c.
public struct Pin: ExplorableOperation {
  private enum Phase: Hashable, Sendable {
    case begin, call, fast, sequence, lock, walk, fault(unshare: Bool), check, finish(Refusal?),
      done
  }

  public let request: PinRequest
  public private(set) var outcome: PinOutcome?
  public private(set) var costs = OperationCosts()
  /// Rounds in a row that isolated nothing: it spins until somebody puts a folio back (rule P3.43).
  public private(set) var idleRounds = 0
  /// Rounds of the call under way that found pages which may not stay; every call of a holder that goes in
  /// chunks begins anew.
  public private(set) var roundsOfCall = 0
  /// Pages that these rounds moved.
  public var movedByCall: Int { costs.migratedPages - movedBefore }
  private var movedBefore = 0

  private struct FaultRefusal: Hashable, Sendable {
    var page: Int
    var refusal: Refusal
  }

  private var phase = Phase.begin
  /// Set when it begins: they depend on the kernel.
  private var flags: GUPFlags = []
  private var pin = 0
  private var cursor = PinCursor(0..<0)
  /// Where the pages of the running call begin.
  private var callCursor = PinCursor(0..<0)
  private var callStart = 0
  private var callEnd = 0
  /// Stretches of device memory that were passed over, in the order of their pages.
  public private(set) var passed: [Range<Int>] = []
  /// What is behind the leaf that the integrated walker tests, and where that leaf begins.
  private var leafCursor = PinCursor(0..<0)
  /// Pages up to here were faulted in by this call, in its own scope: the integrated walker does not
  /// test them.
  private var faultedEnd = 0
  /// Pages below were faulted in, and would have been grabbed one by one, before the OOM killer chose the
  /// process.
  private var killedEnd = 0
  /// Where the slow path's part begins.
  private var slowCursor = PinCursor(0..<0)
  private var page: Int
  private var area: MemoryArea?
  private var sequence = 0
  private var fault: FaultOperation?
  /// What the last run of faults ended with, and where.
  private var faultRefusal: FaultRefusal?
  /// The fast walk of one leaf, while somebody watches its steps.
  private var grab: FastGrab?
  private var check: LongTermCheck?
  private var checksNoMore = false
  /// Whether the check comes after the walk (rule P3.60).
  private var isRescanning = true
  private var stuck: [PFN] = []
  private var isLocked = false
  /// The error that a short count hides.
  private var lost: Refusal?

  /// Pages looked at in one slice: 8 ms where every frame misses the caches, 30 ns a page.
  static let slicePages = 1 << 18
  /// Words written in one slice, after which it ends: 64 GiB in huge pages.
  static let sliceWords = 1 << 16

  public init(_ request: PinRequest) {
    self.request = request
    page = request.startPage
  }

  /// The end of the running call.
  private var endPage: Int { callEnd }
  private var requestEnd: Int { request.startPage + request.pages }
  /// Where a slice ends: at the border of a PUD leaf, so that no leaf is taken in two parts.
  private var sliceEnd: Int { min(endPage, (page | (Self.slicePages - 1)) + 1) }
  private var isLongTerm: Bool { flags.contains(.longTerm) }

  public mutating func advance(_ machine: inout Machine, _ pace: Pace) -> Progress {
    let outer = machine.enterTask(request.space)
    defer { machine.leaveTask(outer) }
    let limit = cursor.position + Self.sliceWords
    while true {
      let before = page
      if let wait = advancePhase(&machine, pace) { return .waiting(wait) }
      if case .done = phase { return .finished }
      // A GiB in huge pages is 512 leaves and no slice of its own.
      guard pace == .slice, page > before, cursor.position < limit else { return .running }
      switch phase {
      case .fast, .walk: continue
      default: return .running
      }
    }
  }

  /// One step, or the part of a slice that one phase does at once.
  private mutating func advancePhase(_ machine: inout Machine, _ pace: Pace) -> Wait? {
    switch phase {
    case .begin:
      begin(&machine)
      // One step: nothing of the machine is looked at before the first call begins.
      if case .call = phase { beginCall(&machine, pace) }
    case .call: beginCall(&machine, pace)
    case .fast: if pace == .step { stepFast(&machine) } else { walkFast(&machine) }
    case .sequence: endFast(&machine)
    case .lock:
      guard machine.lockForReading(request.space) else {
        return .mmapLock(request.space)
      }
      isLocked = true
      phase = .walk
    case .walk: walkSlow(&machine, pace)
    case .fault(let unshare):
      return faultIn(&machine, pace, unshare: unshare)
    case .check: advanceCheck(&machine, pace)
    case .finish(let refusal): finish(&machine, refusal)
    case .done: break
    }
    return nil
  }

  public func holdings(_ machine: borrowing Machine) -> Holdings {
    var held = Holdings()
    guard outcome == nil, pin != 0 else { return held }
    let words = cursor.start..<(check?.firstWord ?? cursor.position)
    held.add(machine, words, flags)
    if let check { held.add(machine, check.held, flags) }
    if let grab { held.add(machine, grab, flags) }
    if let fault { held.add(machine, fault.state) }
    return held
  }

  // MARK: Beginning

  private mutating func begin(_ machine: inout Machine) {
    if let refusal = request.refusal {
      phase = .finish(refusal)
      return
    }
    flags = request.effectiveFlags(machine.kernel)
    isRescanning = !machine.kernel.pinning.testsWhileWalking
    guard request.pages > 0 else {
      phase = .finish(Refusal(.EINVAL, "zero pages are asked for", rule: "P3.11"))
      return
    }
    // A page takes at most two words.
    let room = request.pages * 2
    guard
      let id = machine.addPin(
        space: request.space, startPage: request.startPage, room: room, flags,
        holder: request.holder)
    else {
      phase = .finish(
        Refusal(
          .ENOMEM,
          "this model has no room for the record of \(request.pages) more pages; unpin "
            + "something", rule: "P7.50"))
      return
    }
    pin = id
    machine.countOperation(request.space, 1)
    cursor = PinCursor(machine.pinWords(id))
    slowCursor = cursor
    if flags.contains(.pin) { machine.markPinned(request.space) }
    if needsAreas(machine), min(request.pages, request.callPages ?? .max) > Self.arrayLimit {
      // 5.1 to 5.10: before anything is pinned.
      machine.removePin(id)
      pin = 0
      phase = .finish(
        Refusal(
          .ENOMEM, "the array of VMAs is larger than kmalloc gives: 4 MiB, 2 GiB of pages",
          rule: "P3.48"))
      return
    }
    callEnd = page
    phase = .call
  }

  /// The next call of the holder, or, when nobody watches, all those that find nothing to do but pin.
  private mutating func beginCall(_ machine: inout Machine, _ pace: Pace) {
    if isLocked {
      machine.unlockAfterReading(request.space)
      isLocked = false
    }
    sequence = machine.spaces[request.space].writeProtectSequence
    let isFast =
      request.entryPoint.isFast && (sequence & 1 == 0 || !flags.contains(.pin))
    if pace == .slice, takePlainCalls(&machine, isFast: isFast) {
      if page == requestEnd || isFull { phase = .finish(nil) }
      return
    }
    if request.passesDeviceMemory, passDeviceMemory(machine) { return }
    callStart = page
    callEnd = min(callEnd(machine), page + (request.callPages ?? request.pages))
    callCursor = cursor
    slowCursor = cursor
    checksNoMore = false
    area = nil
    roundsOfCall = 0
    movedBefore = costs.migratedPages
    costs.calls += 1
    phase = isFast ? .fast : .lock
  }

  /// Whether the next call must not begin (``PinRequest/stopsAfter``).
  private var isFull: Bool { request.stopsAfter.map { cursor.pages > $0 } ?? false }

  /// Passes over the device memory that the next page shows.
  private mutating func passDeviceMemory(_ machine: borrowing Machine) -> Bool {
    guard let area = machine.spaces[request.space].area(page), area.flags.contains(.pfnMap) else {
      return false
    }
    let end = min(requestEnd, area.end)
    passed.append(page..<end)
    page = end
    callEnd = end
    if page == requestEnd { phase = .finish(nil) }
    return true
  }

  /// Where the next call ends at the latest: a range that reaches into device memory gets a short count
  /// there.
  private func callEnd(_ machine: borrowing Machine) -> Int {
    guard request.passesDeviceMemory else { return requestEnd }
    let space = machine.spaces[request.space]
    var index = space.firstArea(endingAfter: page)
    while index < space.areas.count, space.areas[index].start < requestEnd {
      if space.areas[index].flags.contains(.pfnMap), space.areas[index].start > page {
        return space.areas[index].start
      }
      index += 1
    }
    return requestEnd
  }

  /// Takes whole calls over pages that need no fault and no move; the same as one call after the
  /// other, counts included.
  ///
  /// - Returns: False when the next call needs its steps.
  private mutating func takePlainCalls(_ machine: inout Machine, isFast: Bool) -> Bool {
    guard !request.skipsTails, let callPages = request.callPages,
      callPages <= Self.slicePages / 2,
      let area = machine.spaces[request.space].area(page),
      Self.refusal(area, page, flags, machine) == nil,
      isFast || machine.spaces[request.space].mmapLock >= 0
    else { return false }
    var limit = min(requestEnd, area.end, page + Self.slicePages)
    if let stop = request.stopsAfter {
      // The call that passes the number is taken by itself.
      limit = min(limit, page + max(0, stop - cursor.pages) / callPages * callPages)
      guard limit > page else { return false }
    }
    var pages = machine.plainStretch(
      request.space, page..<limit, flags, isFast: request.entryPoint.isFast)
    if page + pages < requestEnd { pages -= pages % callPages }
    guard pages > callPages else { return false }
    let range = page..<page + pages
    var scratch = OperationCosts()
    let counts = machine.countStretch(request.space, range, callPages: callPages)
    let reached: Int
    if isFast {
      reached = machine.walkFast(request.space, range, flags, &cursor, &scratch)
    } else {
      reached =
        machine.walkSlow(
          request.space, range, area, flags, single: false, &cursor, &scratch
        ).page
    }
    costs += machine.stretchCosts(counts, flags, isFast: isFast)
    page = reached
    callEnd = reached
    // A page that could not be had all the same: the call that meets it says why.
    return reached > range.lowerBound
  }

  // MARK: The fast walk

  private mutating func walkFast(_ machine: inout Machine) {
    if var work = grab {
      // Somebody watched until now.
      while !work.isDone { work.step(&machine, request.space, flags, &cursor, &costs) }
      endGrab(work)
      if case .sequence = phase { return endFast(&machine) }
    }
    let end = sliceEnd
    let reached = machine.walkFast(request.space, page..<end, flags, &cursor, &costs)
    page = reached
    if reached < end || page == endPage { endFast(&machine) }
  }

  /// One of f2 to f8.
  private mutating func stepFast(_ machine: inout Machine) {
    // The upper levels count once (rule P8.2).
    if grab == nil, isFirstOfCall { costs.entryReads += 2 }
    var work = grab ?? nextGrab
    grab = nil
    work.step(&machine, request.space, flags, &cursor, &costs)
    if work.isDone { endGrab(work) } else { grab = work }
  }

  private var isFirstOfCall: Bool { page == callStart }

  private var nextGrab: FastGrab { FastGrab(page: page, limit: endPage, isFirst: isFirstOfCall) }

  private mutating func endGrab(_ work: FastGrab) {
    grab = nil
    if work.stage == .taken { page = work.end }
    if work.stage == .stopped || page == endPage { phase = .sequence }
  }

  /// f9.
  private mutating func endFast(_ machine: inout Machine) {
    if flags.contains(.pin), machine.kernel.protections.checksForkSequence,
      machine.spaces[request.space].writeProtectSequence != sequence
    {
      // A fork copied page tables meanwhile: all of it goes back.
      _ = machine.unpin(
        callCursor.position..<cursor.position, flags, limit: .max >> 1, batched: true,
        dirty: false, &costs)
      cursor = callCursor
      page = callStart
    }
    slowCursor = cursor
    if page == endPage {
      phase = .finish(nil)
    } else if flags.contains(.fastOnly) {
      let address = String(page << machine.geometry.pageShift, radix: 16)
      phase = .finish(
        Refusal(
          .EAGAIN, "the fast walk stops at 0x\(address), and no slow one follows", rule: "P3.15"))
    } else {
      phase = .lock
    }
  }

  // MARK: The slow walk

  private mutating func walkSlow(_ machine: inout Machine, _ pace: Pace) {
    let isKilled = machine.isKilled(request.space)
    if isKilled, page >= killedEnd {
      return endWalk(
        Refusal(.EINTR, "a fatal signal came: the OOM killer chose the process", rule: "P3.20"))
    }
    guard page < endPage else {
      phase = checksAfterwards ? .check : .finish(nil)
      return
    }
    if area == nil || !area!.contains(page) {
      let found = machine.spaces[request.space].area(page)
      if let refusal = Self.refusal(found, page, flags, machine) {
        endWalk(refusal)
        return
      }
      area = found
    }
    guard let area else { return }
    var limit = min(pace == .step ? endPage : sliceEnd, area.end)
    if isKilled { limit = min(limit, killedEnd) }
    let isIntegrated = isLongTerm && machine.kernel.pinning.testsWhileWalking
    var isTested = false
    if isIntegrated, page >= faultedEnd {
      // Up to the first page that may not stay; that one alone.
      let plain = machine.plainStretch(request.space, page..<limit, flags, isFast: false)
      isTested = plain == 0
      if plain > 0 { limit = min(limit, page + plain) }
    } else if isIntegrated {
      limit = min(limit, faultedEnd)
    }
    leafCursor = cursor
    let isUntested = page < faultedEnd
    let before = costs.walks
    let (reached, stop) = machine.walkSlow(
      request.space, page..<limit, area, flags, single: pace == .step || isTested, &cursor,
      &costs)
    page = reached
    if isIntegrated, !isUntested || isTested {
      let found = costs.walks - before - (stop == nil ? 0 : 1)
      costs.lookups += max(0, found)
      if isTested, cursor.pages > leafCursor.pages {
        phase = .check
        return
      }
    }
    switch stop {
    case nil:
      if page == endPage { phase = checksAfterwards ? .check : .finish(nil) }
    case .absent: phase = .fault(unshare: false)
    case .mustUnshare: phase = .fault(unshare: true)
    case .slowPath, .noStructPage:
      endWalk(
        Refusal(.EEXIST, "0x\(hexAddress) shows memory without a struct page", rule: "P3.20"))
    case .overflow:
      endWalk(
        Refusal(
          .ENOMEM, "the reference count of the page at 0x\(hexAddress) is used up",
          rule: "P3.23"))
    case .grabRefused:
      machine.warnOnce("mm/gup.c", "__get_user_pages")
      endWalk(
        Refusal(
          .EFAULT,
          "the rest of the leaf at 0x\(hexAddress) may not be pinned for long where it "
            + "is, and this kernel does not move it", rule: "P3.23"))
    }
  }

  private var hexAddress: String { String(page << 12, radix: 16) }

  /// Whether the pages of the slow path are looked at when all are pinned.
  private var checksAfterwards: Bool { isLongTerm && !checksNoMore && isRescanning }

  /// An error ends the walk: with pages in hand they count, and the error is lost (rule P3.20).
  private mutating func endWalk(_ refusal: Refusal) {
    if cursor.pages > slowCursor.pages {
      phase = checksAfterwards ? .check : .finish(nil)
    } else {
      phase = .finish(refusal)
    }
    lost = refusal
  }

  /// Why an area cannot be pinned, or nil (rules P3.12, P3.13).
  ///
  /// Kernel: `check_vma_flags()`, mm/gup.c.
  static func refusal(
    _ area: MemoryArea?, _ page: Int, _ flags: GUPFlags, _ machine: borrowing Machine
  ) -> Refusal? {
    let address = "0x" + String(page << machine.geometry.pageShift, radix: 16)
    guard let area else {
      return Refusal(.EFAULT, "nothing is mapped at \(address)", rule: "P3.12")
    }
    if !area.flags.isDisjoint(with: [.io, .pfnMap]) {
      return Refusal(.EFAULT, "\(address) shows device memory (VM_IO, VM_PFNMAP)", rule: "P3.12")
    }
    let kind = area.file.map { machine.files[$0].kind }
    if flags.contains(.longTerm) && kind == .fsdax {
      return Refusal(.EOPNOTSUPP, "\(address) shows a DAX file", rule: "P3.12")
    }
    if kind == .secret {
      return Refusal(.EFAULT, "\(address) shows secret memory", rule: "P3.12")
    }
    if flags.contains(.splitPMD) && area.file.map({ machine.files[$0].isHugetlb }) == true {
      return Refusal(
        .EOPNOTSUPP, "FOLL_SPLIT_PMD does not apply to hugetlb at \(address)", rule: "P3.15")
    }
    if flags.contains(.write) {
      if flags.isSuperset(of: [.longTerm, .pin]), let kind, area.flags.contains(.shared),
        !machine.mayWriteForLong(kind)
      {
        return Refusal(
          .EFAULT, "\(address) is a shared mapping of a file whose dirty pages are tracked",
          rule: "P3.13")
      }
      if !area.flags.contains(.write) {
        guard flags.contains(.force), area.isCopyOnWrite,
          area.file.map({ machine.files[$0].isHugetlb }) != true
        else {
          return Refusal(.EFAULT, "\(address) may not be written", rule: "P3.12")
        }
      }
    } else if !area.flags.contains(.read), !flags.contains(.force) {
      return Refusal(.EFAULT, "\(address) may not be read", rule: "P3.12")
    }
    return nil
  }

  // MARK: Faults

  /// Rule P3.22.
  private mutating func faultIn(
    _ machine: inout Machine, _ pace: Pace, unshare: Bool
  ) -> Wait? {
    if flags.contains(.noFault) {
      fault = nil
      phase = .walk
      endWalk(Refusal(.EFAULT, "0x\(hexAddress) is not present, and FOLL_NOFAULT", rule: "P3.15"))
      return nil
    }
    let access: FaultAccess = unshare ? .unshare : flags.contains(.write) ? .write : .read
    let inPinScope = isLongTerm
    if let known = faultRefusal, known.page == page {
      let refusal = known.refusal
      faultRefusal = nil
      phase = .walk
      endWalk(refusal)
      return nil
    }
    // A read of private memory shows the page of zeros first, and each gets a page of its own before
    // the next fault (rule P3.14).
    let unshares = access == .read && flags.contains(.pin) && area?.isCopyOnWrite ?? true
    if pace == .slice, fault == nil, !unshare, !unshares {
      // Whole runs of absent pages at once: a grab allocates nothing, so the order of allocations is
      // that of fault, grab, fault, grab.
      let limit = min(area?.end ?? endPage, endPage, page + PopulateOperation.slicePages)
      var end = machine.absentEnd(request.space, page..<limit)
      if flags.contains(.touch) {
        // A page is marked as accessed when it is grabbed, and a flush of its LRU batch takes the
        // mark away: grabs may not fall behind a flush, nor behind a huge page, which flushes.
        end = min(end, page + max(1, machine.additionsBeforeFlush), (page | 511) + 1)
      }
      if end > page {
        let isLarge = request.pages >= PopulateOperation.largePages
        if isLarge, costs.faults == 0 { machine.expectDenseTables(pages: requestEnd - page) }
        let run = machine.faultRange(
          request.space, page..<end, access, inPinScope: inPinScope, isLarge: isLarge)
        costs.faults += run.faults
        // A walk found each page missing; the first has been counted.
        costs.walks += max(0, run.faults - 1)
        costs.entryReads += 4 * max(0, run.faults - 1)
        faultedEnd = page + run.done
        if machine.isKilled(request.space) { killedEnd = page + run.last }
        if let refusal = run.refusal {
          faultRefusal = FaultRefusal(page: page + run.done, refusal: refusal)
        }
        if run.done > 0 || machine.isKilled(request.space) { phase = .walk }
        return nil
      }
    }
    var work =
      fault
      ?? FaultOperation(
        space: request.space, page: page, access: access, inPinScope: inPinScope)
    fault = nil
    switch work.advance(&machine, pace) {
    case .waiting(let wait):
      // The entry may have changed; look again before waiting for good.
      fault = work
      return wait
    case .running: fault = work
    case .finished:
      costs.faults += 1
      // What the fault put there came out of this pin's own scope.
      faultedEnd = page + 1
      phase = .walk
      if case .refused(let refusal) = work.outcome { endWalk(refusal) }
    }
    return nil
  }

  // MARK: The long-term check

  /// Whether the walk also writes an array of VMAs, which is read afterwards for DAX (rules P3.12,
  /// P8.6): 5.1 to 5.10, outside the fast walk.
  private func needsAreas(_ machine: borrowing Machine) -> Bool {
    isLongTerm && machine.kernel.pinning.vmasArray
  }

  private mutating func advanceCheck(_ machine: inout Machine, _ pace: Pace) {
    if machine.kernel.pinning.testsWhileWalking {
      return advanceLeafCheck(&machine, pace)
    }
    if check == nil {
      costs.rounds += 1
      if needsAreas(machine) {
        costs.arrayWrites += cursor.pages - slowCursor.pages
        costs.rescanReads += cursor.pages - slowCursor.pages
      }
      if machine.kernel.pinning.checkArray, cursor.pages - slowCursor.pages > Self.arrayLimit {
        return failForArray(&machine)
      }
      check = LongTermCheck(slowCursor.position..<cursor.position, flags)
    }
    // In place: taking it out and putting it back was a twentieth of a search.
    if check?.staysIfNothingIsolated(machine) == false { check?.advance(&machine, pace, &costs) }
    guard let result = check?.result else { return }
    let isolated = check?.isolated ?? 0
    check = nil
    switch result {
    case .stay: phase = .finish(nil)
    case .again:
      idleRounds = isolated == 0 ? idleRounds + 1 : 0
      roundsOfCall += 1
      restart()
    case .failed(let folios):
      if machine.kernel.pinning.pinsAnyway {
        // From now on nothing is checked any more.
        checksNoMore = true
        restart()
        return
      }
      stuck = folios
      cursor = slowCursor
      phase = .finish(
        Refusal(
          .ENOMEM, "\(folios.count) of the folios that may not be pinned here could not be moved",
          rule: "P3.42"))
    }
  }

  /// The integrated walker found a page that may not stay: it lets go of that one, moves its folio, and
  /// walks the address again; what it holds already stays pinned (rule P3.60).
  private mutating func advanceLeafCheck(_ machine: inout Machine, _ pace: Pace) {
    var work = check ?? LongTermCheck(leafCursor.position..<cursor.position, flags)
    check = nil
    // The walker has made the test; looking at the leaf again is no work of the kernel's.
    var spent = OperationCosts()
    if !work.staysIfNothingIsolated(machine) { work.advance(&machine, pace, &spent) }
    spent.rescanReads = 0
    spent.lookups = 0
    costs += spent
    switch work.result {
    case nil: check = work
    case .stay: phase = .walk
    case .again:
      idleRounds = work.isolated == 0 ? idleRounds + 1 : 0
      cursor = leafCursor
      page = callStart + cursor.pages - callCursor.pages
      area = nil
      phase = .walk
    case .failed(let folios):
      cursor = leafCursor
      stuck = folios
      let refusal = Refusal(
        .ENOMEM, "the folio at \(folios.first.map { "\($0)" } ?? "there") could not be moved",
        rule: "P3.60")
      lost = refusal
      phase = .finish(cursor.pages > 0 ? nil : refusal)
    }
  }

  /// Pointers in the largest block that kmalloc() gives, 4 MiB (rule P3.48).
  static let arrayLimit = (4 << 20) / 8

  /// 6.11.0 had to copy the pages into an array of its own first.
  private mutating func failForArray(_ machine: inout Machine) {
    _ = machine.unpin(
      slowCursor.position..<cursor.position, flags, limit: .max >> 1, batched: true, dirty: false,
      &costs)
    cursor = slowCursor
    phase = .finish(
      Refusal(
        .ENOMEM,
        "the check's array of pointers is larger than kmalloc gives: 4 MiB, 2 GiB of pages",
        rule: "P3.48"))
  }

  private mutating func restart() {
    cursor = slowCursor
    page = callStart + slowCursor.pages - callCursor.pages
    area = nil
    lost = nil
    phase = .walk
  }

  /// Takes the frames behind the page of a compound page that the call has brought for the next pages.
  private mutating func takeTails(_ machine: inout Machine) {
    guard cursor.pages == callCursor.pages + 1 else { return }
    let first = machine.pinnedRun(at: callCursor.position).first
    guard let folio = machine.folio(of: first), folio.order > 0 else { return }
    let behind = folio.head.index + folio.pages - first.index - 1
    let pages = min(behind, requestEnd - page)
    guard pages > 0, machine.grab(folio, pages, flags) else { return }
    machine.write(folio, first + 1, pages, &cursor)
    costs.pinAtomics += flags.contains(.pin) ? 2 : 1
    page += pages
    callEnd = page
  }

  // MARK: Ending

  private mutating func finish(_ machine: inout Machine, _ refusal: Refusal?) {
    if refusal == nil, lost == nil, page == callEnd, page < requestEnd, !isFull {
      if request.skipsTails { takeTails(&machine) }
      if page == requestEnd { return finish(&machine, nil) }
      phase = .call
      return
    }
    if pin != 0, machine.kernel.pinning.writesScatterList {
      costs.records = machine.scatterRecords(cursor.start..<cursor.position)
    }
    if pin != 0 {
      machine.countOperation(request.space, -1)
      if isLocked { machine.unlockAfterReading(request.space) }
      machine.closePin(pin, cursor)
      if cursor.pages == 0 {
        machine.removePin(pin)
      } else {
        machine.describePin(
          pin, requested: request.pages, isFast: request.entryPoint == .fast, costs,
          shortfall: refusal ?? lost)
      }
    }
    outcome = PinOutcome(
      pages: cursor.pages, pin: cursor.pages > 0 ? pin : nil, refusal: refusal ?? lost,
      stuck: stuck, costs: costs)
    phase = .done
  }

  public mutating func interrupt(_ machine: inout Machine) {
    if case .done = phase { return }
    let outer = machine.enterTask(request.space)
    defer { machine.leaveTask(outer) }
    grab?.abandon(&machine, flags)
    grab = nil
    if var work = check {
      work.interrupt(&machine, &costs)
      check = nil
      cursor = slowCursor
    }
    _ = machine.unpin(
      cursor.start..<cursor.position, flags, limit: .max >> 1, batched: true, dirty: false, &costs)
    cursor.position = cursor.start
    cursor.pages = 0
    fault?.interrupt(&machine)
    fault = nil
    finish(&machine, Refusal(.EINTR, "a fatal signal came", rule: "P3.20"))
  }

  public func nextStep(_ machine: borrowing Machine) -> Step {
    let address = "0x" + hexAddress
    switch phase {
    case .begin: return Step("g0", request.entryPoint.rawValue, "check the arguments")
    case .call:
      return Step("g0", request.entryPoint.rawValue, "begin the call for \(address) and on")
    case .fast:
      return (grab ?? nextGrab).nextStep
    case .sequence:
      return Step(
        "f9", "gup_fast", "test whether a fork of process \(request.space) came in between")
    case .lock: return Step("g1", "mmap_read_lock", "take mmap_lock of process \(request.space)")
    case .walk:
      return Step("g2", "follow_page_mask", "read the entry of \(address) and grab its page")
    case .fault:
      return fault?.nextStep(machine)
        ?? Step("g3", "faultin_page", "fault in \(address)")
    case .check:
      return check?.nextStep(machine)
        ?? Step(
          "g4", "collect_longterm_unpinnable_folios", "test whether the pages may stay pinned")
    case .finish, .done: return Step("g10", "__gup_longterm_locked", "return")
    }
  }
}
