internal import LuaBridge
internal import MemoryModel

extension MemoryLibrary {
  static func kernelsFunction() -> LuaFunction {
    LuaFunction(
      "kernels",
      returns: [
        LuaResult(
          .object("listing"),
          "A row for each: name, release, year, first_release, commits, special, threads, kernel.")
      ],
      doc: """
        The kernels that a machine can run, oldest first: releases, and patches that were proposed.

        The number in brackets is the thread that argues about it: 000 the helper of 2018, 001 the \
        series of 2020, 002 the endless pin of 2024, 003 the patch of 2015, 004 the advice of 2022.
        """,
      rules: ["P0.7", "A9.2"],
      example: "kernels()[1].name --> \"4.2\""
    ) { call in
      let listing = ListingObject(header: "")
      let width = KernelPreset.all.map(\.name.count).max() ?? 0
      for preset in KernelPreset.all {
        let threads = preset.threads.joined(separator: " ")
        listing.add(
          preset.name.padded(width + 2) + "\(preset.year)  "
            + (preset.firstRelease == nil ? "proposed  " : "          ")
            + preset.special + (threads.isEmpty ? "" : " [\(threads)]"),
          [
            ("name", .string(preset.name)), ("release", .string(preset.kernel.release)),
            ("year", .integer(Int64(preset.year))),
            ("first_release", preset.firstRelease.map { .string($0) } ?? .nil),
            ("commits", .table(LuaTable(preset.commits.map { .string($0) }))),
            ("special", .string(preset.special)),
            ("threads", .table(LuaTable(preset.threads.map { .string($0) }))),
            ("kernel", .object(LuaHandle("kernel", KernelObject(preset.kernel, preset)))),
          ])
      }
      listing.shownLines = KernelPreset.all.count
      call.returns(LuaHandle("listing", listing))
    }
  }

  static func kernelFunction(_ context: MemoryContext) -> LuaFunction {
    LuaFunction(
      "kernel", .named,
      [
        LuaParameter(
          "base", .string, default: "the kernel of the session",
          "The name of a kernel, see kernels()."),
        LuaParameter("name", .string, optional: true, "What it is called in tables."),
      ]
        + KernelSwitch.all.map { item in
          LuaParameter(item.name, type(item), optional: true, "\(item.doc) Rule \(item.rule).")
        },
      returns: [LuaResult(.object("kernel"))],
      doc: """
        A kernel, maybe with some switches turned: kernel{ base = "5.10", lt_on_migrate_fail = "error" }.

        Each switch is one change of the kernel's history; kernel("6.12"):switches() lists them.
        """,
      rules: ["P0.6", "P0.8"],
      example: """
        k = kernel{ base = "5.10", lt_on_migrate_fail = "error" }
        k.name --> "5.10+lt_on_migrate_fail=error"
        """
    ) { call throws(LuaFailure) in
      let base =
        call.isGiven(0)
        ? try KernelArgument.object(call.value(0), "base", of: "kernel")
        : KernelObject(of: context.kernel)
      var kernel = base.kernel
      var turned: [String] = []
      for (offset, item) in KernelSwitch.all.enumerated() where call.isGiven(2 + offset) {
        let value: String
        if item.isBoolean {
          value = call.boolean(2 + offset) ? "true" : "false"
        } else if Int(item.values[0]) != nil {
          value = "\(call.integer(2 + offset))"
        } else {
          value = item.values[call.integer(2 + offset)]
        }
        guard item.values.contains(value) else {
          throw LuaFailure(
            "bad field '\(item.name)' in 'kernel' (expected one of "
              + "\(item.values.joined(separator: ", ")), got \(value))")
        }
        item.set(value, in: &kernel)
        turned.append("\(item.name)=\(value)")
      }
      if let words = kernel.contradiction { throw LuaFailure("kernel: \(words)") }
      if call.isGiven(1) {
        kernel.name = call.string(1)
      } else if !turned.isEmpty {
        kernel.name += "+" + turned.joined(separator: "+")
      }
      call.returns(LuaHandle("kernel", KernelObject(kernel, base.preset)))
    }
  }

  static func machineKernel() -> LuaFunction {
    LuaFunction(
      "kernel", .positional,
      [
        LuaParameter(
          "which", .any, optional: true, "A kernel, or the name of one; without it, only read.")
      ],
      returns: [LuaResult(.object("kernel"), "The kernel whose rules apply now.")],
      doc: """
        Reads the kernel of the machine, or changes it: the same moment, years earlier or later.

        Memory stays as it is. Where the kernels keep free pages on their way differently, per-CPU \
        lists and LRU batches are emptied first.
        """,
      rules: ["P0.8"],
      example: """
        m = machine{ ram = "64M" }
        old = m:fork()
        old:kernel("4.2").year --> 2015
        old:kernel().name --> "4.2"
        """
    ) { call throws(LuaFailure) in
      let object = call.object(as: MachineObject.self)
      if call.isGiven(0) {
        object.kernel = try KernelArgument.object(call.value(0), "which", of: "kernel")
        object.machine.setKernel(object.kernel!.kernel)
      }
      // undo takes the machine's kernel back, but not what this object remembers.
      let chosen = object.kernel.flatMap { $0.kernel == object.machine.kernel ? $0 : nil }
      call.returns(LuaHandle("kernel", chosen ?? KernelObject(of: object.machine.kernel)))
    }
  }
}

/// A kernel as an argument: an object, or a name.
enum KernelArgument {
  static func object(
    _ value: LuaValue, _ name: String, of function: String
  ) throws(LuaFailure) -> KernelObject {
    if let object = value.object(as: KernelObject.self) { return object }
    if let text = value.string {
      if let preset = KernelPreset.named(text) { return KernelObject(preset.kernel, preset) }
      throw LuaFailure(
        "bad argument '\(name)' to '\(function)' (\(KernelPreset.unknown(text)))")
    }
    throw LuaFailure(
      "bad argument '\(name)' to '\(function)' (expected a kernel or the name of one, got "
        + ByteSize.describe(value) + ")")
  }
}
