// Invariant: a process that was killed stays alive only while an operation of its own is running; then its
// pages and its pins go.

/// What `out_of_memory()` came to (rule A7.40).
enum OOMOutcome: Sendable, Equatable {
  /// The caller may try again; `killed` is the space of the victim, if one was killed.
  case acted(killed: Int?)
  case refused
}

/// A process as the OOM killer sees it.
public struct OOMCandidate: Sendable, Equatable {
  public let space: Int
  public let anonymous: Int
  public let file: Int
  public let shmem: Int
  /// Page tables, in pages.
  public let tables: Int
  public let adjustment: Int
  /// Pages in swap space.
  public let swapped: Int
  /// rss, swap and page tables in pages, with its adjustment (rule A7.40).
  public let points: Int

  public var resident: Int { anonymous + file + shmem }
}

extension Machine {
  /// Kills the process that is worth it most (rules A4.23, A7.40).
  ///
  /// Kernel: `out_of_memory()`, mm/oom_kill.c.
  mutating func outOfMemory(_ request: AllocationRequest) -> OOMOutcome {
    if isCurrentKilled { return .acted(killed: nil) }
    // Whoever may not enter the file system may not wait for a victim that does.
    guard request.gfp.contains(.fs) else { return .acted(killed: nil) }
    finishKilled()
    // A victim on its way out is waited for.
    if spaces.contains(where: { $0.isAlive && $0.isKilled }) { return .acted(killed: nil) }
    let candidates = oomCandidates
    logOutOfMemory(request, candidates)
    guard let victim = chooseVictim(candidates) else {
      log.append("Out of memory and no killable processes...")
      log.append("Kernel panic - not syncing: System is deadlocked on memory")
      return .refused
    }
    kill(victim)
    return .acted(killed: victim.space)
  }

  /// Whether the running task is to die; what it allocates then comes out of the reserves.
  ///
  /// Kernel: `tsk_is_oom_victim(current)`, `fatal_signal_pending(current)`.
  package var isCurrentKilled: Bool { currentSpace.map { spaces[$0].isKilled } ?? false }

  /// Whether a process was killed and has not left yet.
  public func isKilled(_ space: Int) -> Bool { spaces[space].isKilled }

  /// Kernel: a write to /proc/PID/oom_score_adj.
  package mutating func setOOMScoreAdjustment(_ space: Int, _ value: Int) {
    spaces[space].oomScoreAdjustment = value
  }

  /// The processes that may be killed, oldest first.
  ///
  /// Kernel: `oom_badness()`.
  public var oomCandidates: [OOMCandidate] {
    let total = populatedZones.reduce(swap.count) { $0 + zoneTable[$1].managed }
    return spaces.filter { $0.isAlive && !$0.isStarting }.map { space in
      let tables = tablePages(space.root)
      let rss = space.anonymousPages + space.filePages + space.shmemPages
      let adjustment = space.oomScoreAdjustment
      return OOMCandidate(
        space: space.id, anonymous: space.anonymousPages, file: space.filePages,
        shmem: space.shmemPages, tables: tables, adjustment: adjustment,
        swapped: space.swapEntries,
        points: rss + space.swapEntries + tables + adjustment * (total / 1000))
    }
  }

  /// The one with the most points; of equals the youngest.
  ///
  /// Kernel: `select_bad_process()`.
  private func chooseVictim(_ candidates: [OOMCandidate]) -> OOMCandidate? {
    var chosen: OOMCandidate?
    for candidate in candidates where candidate.adjustment > -1000 {
      if candidate.points >= chosen?.points ?? .min { chosen = candidate }
    }
    return chosen
  }

  /// Page tables below a process's top table, deposited ones included.
  ///
  /// Kernel: `mm_pgtables_bytes()`.
  private func tablePages(_ root: Int) -> Int {
    func count(_ table: Int, _ level: Int) -> Int {
      if level == 0 { return 0 }
      var tables = level == 1 ? depositCount(table: table) : 0
      let first = table * PageTables.entriesPerTable
      for slot in first..<first + PageTables.entriesPerTable where pageTables[slot].isTable {
        tables += 1 + count(pageTables[slot].table, level - 1)
      }
      return tables
    }
    return count(root, PageTableLevel.pgd.rawValue)
  }

  /// Kernel: `__oom_kill_process()`.
  private mutating func kill(_ victim: OOMCandidate) {
    count(.oomKill, 1)
    spaces[victim.space].isKilled = true
    killOrder.append(
      KilledProcess(
        space: victim.space, name: spaces[victim.space].name, resident: victim.resident,
        swapped: victim.swapped,
        pinned: pins.reduce(0) { $0 + ($1.space == victim.space ? $1.pages : 0) }))
    let pages = spaces[victim.space].areas.reduce(0) { $0 + $1.end - $1.start }
    let size = geometry.pageShift - 10
    log.append(
      "Out of memory: Killed process \(victim.space) (\(spaces[victim.space].name)) "
        + "total-vm:\(pages << size)kB, anon-rss:\(victim.anonymous << size)kB, "
        + "file-rss:\(victim.file << size)kB, shmem-rss:\(victim.shmem << size)kB, UID:0 "
        + "pgtables:\(victim.tables << size)kB oom_score_adj:\(victim.adjustment)")
    // Others run while the allocator sleeps a tick, and a victim that runs leaves.
    leaveIfKilled(victim.space)
  }

  /// Ends a process that was killed, unless it is in the middle of an operation.
  ///
  /// Its pages go first, then its descriptors are closed and with them its pins.
  ///
  /// Kernel: `do_exit()`: `exit_mm()`, `exit_files()`.
  private mutating func leaveIfKilled(_ space: Int) {
    guard spaces[space].isAlive, spaces[space].isKilled, space != currentSpace,
      spaces[space].operations == 0, spaces[space].mmapLock == 0
    else { return }
    exit(space)
    for pin in pins where pin.space == space { releasePin(pin.id) }
    forgetDevices(of: space)
  }

  /// Lets the processes leave that were killed and have nothing left to finish.
  package mutating func finishKilled() {
    guard spaces.contains(where: { $0.isKilled && $0.isAlive }) else { return }
    for space in spaces.indices { leaveIfKilled(space) }
  }

  /// Gives all pages of a pin back.
  private mutating func releasePin(_ id: Int) {
    guard let pin = pins.first(where: { $0.id == id }) else { return }
    var costs = OperationCosts()
    _ = unpin(
      pinWords(id), pin.isGet ? .get : .pin, limit: .max >> 1, batched: kernel.pinning.unpinBatch,
      dirty: false, perFolio: pin.isPerFolio, &costs)
    removePin(id)
  }

  // MARK: Whose task runs

  /// Says that a process's task runs from here on, until ``leaveTask(_:)``.
  ///
  /// - Returns: Whose ran before.
  package mutating func enterTask(_ space: Int?) -> Int? {
    let outer = currentSpace
    currentSpace = space
    return outer
  }

  package mutating func leaveTask(_ outer: Int?) { currentSpace = outer }

  /// Counts the operations of a process that have begun and not ended; until they end, it does not leave.
  package mutating func countOperation(_ space: Int, _ sign: Int) {
    spaces[space].operations += sign
  }

  // MARK: The log

  /// The lines that begin and that explain a kill, without the dumps of stack and memory between.
  ///
  /// Kernel: `dump_header()`, `dump_tasks()`, `dump_oom_victim()`.
  private mutating func logOutOfMemory(_ request: AllocationRequest, _ tasks: [OOMCandidate]) {
    let adjustment = currentSpace.map { spaces[$0].oomScoreAdjustment } ?? 0
    log.append(
      "\(taskName) invoked oom-killer: gfp_mask=0x\(hex(Int(request.gfp.rawValue)))"
        + "(\(request.gfp.description)), order=\(request.order), oom_score_adj=\(adjustment)")
    log.append("Tasks state (memory values in pages):")
    log.append(
      "[  pid  ]   uid  tgid total_vm      rss rss_anon rss_file rss_shmem pgtables_bytes swapents "
        + "oom_score_adj name")
    for task in tasks {
      let pages = spaces[task.space].areas.reduce(0) { $0 + $1.end - $1.start }
      log.append(
        "[\(padded(task.space, 7))] \(padded(0, 5)) \(padded(task.space, 5)) \(padded(pages, 8)) "
          + "\(padded(task.resident, 8)) \(padded(task.anonymous, 8)) \(padded(task.file, 8)) "
          + "\(padded(task.shmem, 9)) \(padded(task.tables << geometry.pageShift, 8)) "
          + "\(padded(task.swapped, 8))         \(padded(task.adjustment, 5)) \(spaces[task.space].name)"
      )
    }
    if let victim = chooseVictim(tasks) {
      log.append(
        "oom-kill:constraint=CONSTRAINT_NONE,nodemask=(null),task=\(spaces[victim.space].name),"
          + "pid=\(victim.space),uid=0")
    }
  }

  private func padded(_ value: Int, _ width: Int) -> String {
    let text = String(value)
    return String(repeating: " ", count: max(0, width - text.utf8.count)) + text
  }
}
