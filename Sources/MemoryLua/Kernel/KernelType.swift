internal import LuaBridge
internal import MemoryModel
internal import MemoryRender

/// A kernel that a script holds: a preset, or one with switches of its own.
final class KernelObject {
  let kernel: Kernel
  /// The preset that it began as.
  let preset: KernelPreset

  init(_ kernel: Kernel, _ preset: KernelPreset) {
    self.kernel = kernel
    self.preset = preset
  }

  /// The kernel of a machine; one that no preset began is said to be of 6.12.
  convenience init(of kernel: Kernel) {
    let base = kernel.name.split(separator: "+").first.map(String.init) ?? kernel.name
    self.init(
      kernel, KernelPreset.named(kernel.name) ?? KernelPreset.named(base) ?? KernelPreset.all.last!)
  }

  /// The switches that have another value than in 6.12.
  var differences: [(name: String, value: String, reference: String)] {
    KernelSwitch.all.compactMap { item in
      let value = item.value(in: kernel)
      let reference = item.value(in: .v6_12)
      return value == reference ? nil : (item.name, value, reference)
    }
  }

  var text: String {
    var text = "kernel \(kernel.name)"
    if preset.kernel.release != preset.name { text += " (\(preset.kernel.release))" }
    text += ", \(preset.year): \(preset.special)"
    var table = TextTable([("", .left), ("  switch", .left), (kernel.name, .left), ("6.12", .left)])
    for difference in differences {
      table.add(["", "  " + difference.name, difference.value, difference.reference])
    }
    if differences.isEmpty { return text }
    return text + "\n" + table.text.dropLast()
  }
}

extension MemoryLibrary {
  static func kernelType() -> LuaType {
    LuaType(
      "kernel", KernelObject.self,
      doc: """
        A kernel: what it is, and the value of each of its switches.

        Read a switch as a field: kernel("5.10").lt_check. kernel{ base = …, switch = value } makes one \
        with other values.
        """,
      properties: kernelProperties + switchProperties, methods: [kernelSwitches],
      display: { $0.owner(as: KernelObject.self).text },
      equals: { $0.owner(as: KernelObject.self).kernel == $1.owner(as: KernelObject.self).kernel })
  }

  private static func string(
    _ name: String, _ doc: String, _ read: @escaping @Sendable (KernelObject) -> String?
  ) -> LuaProperty {
    LuaProperty(name, .string, doc) { call in
      guard let text = read(call.object(as: KernelObject.self)) else { return call.returnsNil() }
      call.returns(text)
    }
  }

  private static var kernelProperties: [LuaProperty] {
    [
      string("name", "Its name; one with switches of its own has them behind a +.") {
        $0.kernel.name
      },
      string("release", "The release that it was checked against.") { $0.preset.kernel.release },
      LuaProperty("year", .integer(), "When it came out, or was proposed.") { call in
        call.returns(call.object(as: KernelObject.self).preset.year)
      },
      string("first_release", "The release that first did so; nil for what was never merged.") {
        $0.preset.firstRelease
      },
      string("special", "What is special about it.") { $0.preset.special },
      LuaProperty("commits", .table, "The commits that made the difference.") { call in
        call.returns(
          LuaTable(call.object(as: KernelObject.self).preset.commits.map { .string($0) }))
      },
      LuaProperty("threads", .table, "The threads that argue about it.") { call in
        call.returns(
          LuaTable(call.object(as: KernelObject.self).preset.threads.map { .string($0) }))
      },
    ]
  }

  static func value(_ item: KernelSwitch, _ kernel: Kernel) -> LuaValue {
    let text = item.value(in: kernel)
    if item.isBoolean { return .boolean(text == "true") }
    return Int64(text).map { .integer($0) } ?? .string(text)
  }

  static func type(_ item: KernelSwitch) -> LuaParameterType {
    if item.isBoolean { return .boolean }
    return Int(item.values[0]) == nil ? .choice(item.values) : .integer()
  }

  private static var switchProperties: [LuaProperty] {
    KernelSwitch.all.map { item in
      LuaProperty(item.name, type(item), "\(item.doc) Rule \(item.rule).") { call in
        call.returns(value(item, call.object(as: KernelObject.self).kernel))
      }
    }
  }

  private static var kernelSwitches: LuaFunction {
    LuaFunction(
      "switches",
      returns: [
        LuaResult(.object("listing"), "A row for each: name, value, values, doc, rule, read_at.")
      ],
      doc: "Every switch of the kernel with its value, the values it may have, and its rule.",
      rules: ["P0.6", "A9.2"],
      example: "kernel(\"5.10\"):switches()[1].value --> \"cmaBlock\""
    ) { call in
      let kernel = call.object(as: KernelObject.self).kernel
      let listing = ListingObject(header: "")
      let width = KernelSwitch.all.map(\.name.count).max() ?? 0
      let valueWidth = KernelSwitch.all.map { $0.value(in: kernel).count }.max() ?? 0
      for item in KernelSwitch.all {
        listing.add(
          item.name.padded(width + 2) + item.value(in: kernel).padded(valueWidth + 2)
            + item.rule.padded(7) + item.doc,
          [
            ("name", .string(item.name)), ("value", value(item, kernel)),
            ("values", .table(LuaTable(item.values.map { .string($0) }))),
            ("doc", .string(item.doc)), ("rule", .string(item.rule)),
            ("read_at", .string(item.readAt)),
          ])
      }
      listing.shownLines = KernelSwitch.all.count
      call.returns(LuaHandle("listing", listing))
    }
  }
}
