internal import LuaBridge
internal import MemoryGuests
internal import MemoryModel
internal import MemoryOperations

extension MemoryLibrary {
  static var guestPin: LuaFunction {
    LuaFunction(
      "pin", .named,
      GuestRange.parameters() + [
        LuaParameter("write", .boolean, default: "true", "FOLL_WRITE."),
        LuaParameter(
          "longterm", .boolean, default: "false",
          "FOLL_LONGTERM: pages may not stay in CMA or ZONE_MOVABLE."),
        LuaParameter(
          "fast", .boolean, default: "false", "pin_user_pages_fast, as RDMA and io_uring pin."),
        LuaParameter(
          "remote", .boolean, default: "false", "pin_user_pages_remote, as VFIO pins."),
        LuaParameter(
          "unlocked", .boolean, default: "false",
          "pin_user_pages_unlocked: mmap_lock is taken inside."),
        LuaParameter(
          "force", .boolean, default: "false", "FOLL_FORCE: write to read-only private memory."),
        LuaParameter(
          "nofault", .boolean, default: "false", "FOLL_NOFAULT: missing pages are an error."),
        LuaParameter(
          "get", .boolean, default: "false",
          "FOLL_GET: plain references instead of pins, as get_user_pages takes."),
        LuaParameter(
          "output", .choice(PinOutput.Format.allCases.map(\.rawValue)), default: "pages",
          "The form in which the caller keeps the pages: sets `bytes`."),
        LuaParameter(
          "holder", .string, default: "its number", "Who holds it, for why: \"vm0's NIC\"."),
        LuaParameter(
          "chunk", .size(1...Int64.max), default: "all in one call",
          "How much one call takes, as VFIO and RDMA go in chunks."),
        LuaParameter(
          "max_rounds", .integer(1...1_000_000), default: "1000",
          "After so many rounds of pin and migrate in one call it is killed and called a livelock."),
        LuaParameter(
          "flags", .string, default: "none",
          "More FOLL_ flags by name, such as \"FOLL_SPLIT_PMD|FOLL_INTERRUPTIBLE\" (rule P3.15)."),
        LuaParameter(
          "fast_only", .boolean, default: "false",
          "get_user_pages_fast_only: the fast walk without a slow one behind it."),
        LuaParameter(
          "watch", .function, optional: true,
          "Called before each atomic step with its name, the kernel function and what it does; it may "
            + "do to the machine what another CPU could do just then."),
      ],
      returns: [
        LuaResult(.object("pin"), "The pages that are pinned; maybe fewer than asked for.")
      ],
      errors: [
        LuaErrno("EFAULT", "nothing is mapped there, or its memory may not be pinned so"),
        LuaErrno("ENOMEM", "a page that may not stay could not be moved: err.stuck has the folios"),
        LuaErrno("EINVAL", "flags that exclude each other, or a length of 0"),
        LuaErrno("EAGAIN", "fast_only, and the fast walk could take nothing"),
        LuaErrno("EOPNOTSUPP", "FOLL_SPLIT_PMD for hugetlb, or a long-term pin of DAX"),
        LuaErrno(
          "EINTR",
          "it spun, because somebody keeps a page isolated (rule P3.43), or moved pages for "
            + "max_rounds rounds: err.livelock (rule P4.41)"),
      ],
      doc: """
        Pins a range: its pages stay where they are until unpin.

        With `longterm`, pages that may not stay where they are move first. An error gives nil, err \
        with err.stuck, err.rounds and err.costs; a short count gives a pin whose `pages` is less \
        than `requested`, with the hidden error in `error`.
        """,
      kernel: ["pin_user_pages", "pin_user_pages_fast", "__gup_longterm_locked"],
      rules: ["P3.11", "P3.20", "P3.40"],
      example: """
        m = machine{ ram = "1G", cma = "512M" }
        vm = m:guest{ ram = "256M", thp = "never" }
        vm:populate()
        p = vm:pin{ length = "1M", longterm = true }
        p.pages --> 256
        """
    ) { call throws(LuaFailure) in
      let object = call.object(as: MachineObject.self)
      let space = call.index
      let pages: Range<Int>
      switch try GuestRange.pages(call, 0, object, space, function: "pin", for: .pin) {
      case .failure(let refusal): return call.refuse(refusal)
      case .success(let asked): pages = asked
      }
      let request = PinRequest(
        space: space, startPage: pages.lowerBound, pages: pages.count, flags: try flags(call),
        entryPoint: try entryPoint(call), holder: call.string(11, default: ""),
        callPages: call.isGiven(12)
          ? (call.integer(12) - 1) >> object.machine.geometry.pageShift + 1 : nil)
      let limit = call.integer(13, default: 1000)
      let spin: (Pin) -> String? = { pin in
        if pin.roundsOfCall >= limit {
          return "LIVELOCK: in \(limit) rounds it moved \(pin.movedByCall) pages, and each "
            + "time found pages that may not stay (rule P4.41)"
        }
        return pin.idleRounds > OperationRunner.idleRoundLimit
          ? "it pinned, found pages that may not stay, and could isolate none of them, "
            + "\(pin.idleRounds) times: somebody else has them isolated (see why)"
          : nil
      }
      let (pin, waited) = try OperationRunner.call(
        object, call, "pin", space: space, watch: 16, spin: spin
      ) { Pin(request) }
      guard let outcome = pin.outcome else {
        return call.refuse(Refusal(.EINTR, waited ?? "killed", rule: "P3.20"))
      }
      if let id = outcome.pin {
        if call.isGiven(10) {
          object.machine.setOutput(id, PinOutput.Format.allCases[call.integer(10)].rawValue)
        }
        return call.returns(LuaHandle("pin", object, index: id))
      }
      let answer = outcome.refusal ?? Refusal(.EINVAL, "nothing was pinned", rule: "P3.11")
      let refusal = Refusal(
        answer.errno, answer.message + object.holdersText(outcome.stuck), rule: answer.rule)
      call.refuse(
        waited.map { Refusal(.EINTR, "the pin was killed: \($0)", rule: "P3.43") } ?? refusal,
        fields: details(outcome)
          + (waited?.hasPrefix("LIVELOCK") == true
            ? [("livelock", .boolean(true))] : []))
    }
  }

  private static func flags(_ call: borrowing LuaCall) throws(LuaFailure) -> GUPFlags {
    let more = call.string(14, default: "")
    guard var flags = GUPFlags(names: more) else {
      throw LuaFailure(
        "bad field 'flags' in 'pin' (\"\(more)\" has a name that is none of "
          + GUPFlags.names.filter { !GUPFlags.internalFlags.contains($0.flag) }.map(\.name).joined(
            separator: ", ") + ")")
    }
    if call.boolean(2, default: true) { flags.insert(.write) }
    if call.boolean(3) { flags.insert(.longTerm) }
    if call.boolean(7) { flags.insert(.force) }
    if call.boolean(8) { flags.insert(.noFault) }
    if call.boolean(9) { flags.insert(.get) }
    return flags
  }

  private static func entryPoint(_ call: borrowing LuaCall) throws(LuaFailure) -> PinEntryPoint {
    let wanted = [
      (4, PinEntryPoint.fast), (5, .remote), (6, .unlocked), (15, .fastOnly),
    ].filter {
      call.boolean($0.0)
    }
    guard wanted.count < 2 else {
      throw LuaFailure(
        "pin: 'fast', 'remote', 'unlocked' and 'fast_only' name the function that is called; give one of them"
      )
    }
    return wanted.first?.1 ?? .locked
  }

  private static func details(_ outcome: PinOutcome) -> [(name: String, value: LuaValue)] {
    [
      (
        "stuck",
        .table(LuaTable(outcome.stuck.map { .integer(Int64($0.rawValue)) }))
      ),
      ("rounds", .integer(Int64(outcome.costs.rounds))),
      ("costs", .table(table(outcome.costs))),
    ]
  }

  static func table(_ costs: OperationCosts) -> LuaTable {
    LuaTable(fields: costs.rows.map { ($0.name, .integer(Int64($0.count))) })
  }
}
