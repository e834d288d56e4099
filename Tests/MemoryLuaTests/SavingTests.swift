import Testing

@testable import LuaBridge
@testable import MemoryLua
@testable import MemoryModel
@testable import Recordings

#if canImport(Glibc)
  import Glibc
#else
  import Musl
#endif

/// A folder of its own, removed with the value.
private final class Folder {
  let path: String

  init() throws {
    var template = Array("/tmp/pinlab-saving-XXXXXX".utf8CString)
    let made = unsafe mkdtemp(&template)
    path = unsafe String(cString: try #require(made))
  }

  deinit {
    for name in names { unsafe unlink(path + "/" + name) }
    unsafe rmdir(path)
  }

  var names: [String] {
    var names: [String] = []
    guard let folder = unsafe opendir(path) else { return [] }
    defer { unsafe closedir(folder) }
    while let entry = unsafe readdir(folder) {
      let name = unsafe withUnsafeBytes(of: entry.pointee.d_name) { bytes in
        unsafe String(decoding: bytes.prefix { $0 != 0 }, as: UTF8.self)
      }
      if name != "." && name != ".." { names.append(name) }
    }
    return names.sorted()
  }

  func read(_ name: String) throws -> [UInt8] {
    let file = unsafe try #require(fopen(path + "/" + name, "rb"))
    defer { unsafe fclose(file) }
    var bytes: [UInt8] = []
    var buffer = [UInt8](repeating: 0, count: 1 << 16)
    while true {
      let got = unsafe fread(&buffer, 1, buffer.count, file)
      if got == 0 { return bytes }
      bytes += buffer[..<got]
    }
  }

  func write(_ bytes: [UInt8], to name: String) throws {
    let file = unsafe try #require(fopen(path + "/" + name, "wb"))
    defer { unsafe fclose(file) }
    _ = unsafe fwrite(bytes, 1, bytes.count, file)
  }
}

private func session(_ writing: FileWriting = .anywhere) -> LuaSession {
  let context = MemoryContext()
  context.writing = writing
  let lua = LuaSession(output: { _ in })
  lua.register(MemoryLibrary.library(context))
  return lua
}

/// A machine with something in every table.
private let busyMachine = """
  m = machine{ ram = "96M", cpus = 2, cma = "32M", hugepages = 4, thp = "never" }
  a = m:guest{ name = "a", ram = "512K" }
  b = m:guest{ name = "b", ram = "256K", backing = "memfd" }
  h = m:guest{ name = "h", ram = "4M", backing = "hugetlb" }
  a:populate() b:populate() h:populate("0", "2M")
  p = a:pin{ from = "64K", length = "32K", longterm = true, holder = "a device" }
  f = m:file{ name = "log", size = "1M" }
  f:read()
  c = m:cma_alloc(16)
  v = b:vfio():map{ length = "64K" }
  t = m:temp_ref(a:page(0))
  k = a:fork("child")
  s = m:pressure("128K")
  m:alloc_pages(2)
  m:trace()
  m:sysctl("min_free_kbytes", 1024)
  """

@Suite("saving machines")
struct SavingTests {
  private func saved(_ folder: Folder) throws -> [UInt8] {
    let lua = session()
    let outcome = lua.run(busyMachine + "\nm:save(\"\(folder.path)/m\")")
    try #require(outcome.failure == nil, "\(outcome)")
    return try folder.read("m")
  }

  @Test("what is loaded is what was saved, and goes on the same way")
  func roundTrip() throws {
    let folder = try Folder()
    let lua = session()
    let outcome = lua.run(
      busyMachine + """

        assert(m:save("\(folder.path)/m") > 1000)
        n = machine{ from = "\(folder.path)/m" }
        assert(select("#", n:same(m)) == 1, select(2, n:same(m)))
        assert(n:diff(m).same and n:check() == true)
        assert(n:guest("a"):resident().pages == a:resident().pages)
        assert(#n:pins() == #m:pins() and n:pins()[1].holder == "a device")
        assert(n:files()[1].name == "log" and n:files()[1].cached == 256)
        assert(n:cma_buffers()[1].pages == 16 and #n:temp_refs() == 1)
        assert(n:devices()[1].pages == 16 and #n:pressures() == 1)
        for _, x in ipairs{ m, n } do
          x:cma_buffers()[1]:release()
          x:pins()[1]:unpin()
          x:temp_refs()[1]:release()
          x:pressures()[1]:release()
          x:files()[1]:write()
          x:guest("child"):write()
          x:devices()[1]:unmap()
          x:guest("a"):exit()
          x:cma_alloc("8M")
          x:tick(3)
        end
        assert(select("#", n:same(m)) == 1, select(2, n:same(m)))
        assert(n:check() == true)
        """)
    #expect(outcome.failure == nil, "\(outcome)")
    #expect(folder.names == ["m"])
  }

  @Test("every section that is cut off and every byte that flips is refused, and nothing crashes")
  func damage() throws {
    let folder = try Folder()
    let bytes = try saved(folder)
    let lua = session()
    let whole = lua.run("machine{ from = \"\(folder.path)/m\" }")
    #expect(whole.failure == nil, "\(whole)")
    func refusal(_ bytes: [UInt8]) throws -> String {
      try folder.write(bytes, to: "bad")
      let outcome = lua.run("machine{ from = \"\(folder.path)/bad\" }")
      return try #require(outcome.failure?.message, "\(bytes.count) bytes were taken")
    }
    let ends = sections(bytes).map(\.upperBound)
    #expect(ends.last == bytes.count && ends.count > 10)
    for end in [0, 1, 15, 16, 20, 23, 24] + ends.dropLast() {
      _ = try refusal(Array(bytes[..<end]))
      _ = try refusal(Array(bytes[..<min(end + 17, bytes.count - 1)]))
    }
    #expect(try refusal(bytes + [0]).contains("behind its end"))
    #expect(try refusal(Array(bytes.dropLast())).contains("cut off"))
    var random = SplitMix64(seed: 6)
    for _ in 0..<400 {
      let position = Int.random(in: 0..<bytes.count, using: &random)
      let bit = UInt8(1) << UInt8.random(in: 0..<8, using: &random)
      var bent = bytes
      bent[position] ^= bit
      _ = try refusal(bent)
    }
    var newer = bytes
    newer[16] = UInt8(SavedMachine.version) + 1
    #expect(try refusal(newer).contains("by a newer pinlab; this one reads format "))
    var older = bytes
    older[16] = UInt8(SavedMachine.version) - 1
    #expect(try refusal(older).contains("first bytes"))
    older.replaceSubrange(20..<24, with: number(Int(Checksum.of(Array(older[..<20]))), 4))
    #expect(
      try refusal(older).contains(
        "written in format \(SavedMachine.version - 1) by an older pinlab"))
    // A section taken out, with all sums right.
    let middle = sections(bytes)[5]
    #expect(
      try refusal(Array(bytes[..<middle.lowerBound] + bytes[middle.upperBound...])).contains(
        "missing"))
  }

  /// A number as a file has it.
  private func number(_ value: Int, _ count: Int) -> [UInt8] {
    (0..<count).map { UInt8(truncatingIfNeeded: value >> (8 * $0)) }
  }

  /// Where the sections lie.
  private func sections(_ bytes: [UInt8]) -> [Range<Int>] {
    var found: [Range<Int>] = []
    var position = 24
    while position < bytes.count {
      let packed = (0..<8).reduce(0) { $0 | Int(bytes[position + 24 + $1]) << (8 * $1) }
      found.append(position..<position + 40 + packed)
      position += 40 + packed
    }
    return found
  }

  @Test("contents that no machine can have are refused though their sums are right")
  func impossible() throws {
    let folder = try Folder()
    let bytes = try saved(folder)
    let lua = session()
    var taken = 0
    let all = sections(bytes)
    for seed in 0..<UInt64(600) {
      var random = SplitMix64(seed: seed)
      // The head, the fields, and any of the tables.
      let chosen = all[Int(seed) % (all.count - 1)]
      let head = Array(bytes[chosen.lowerBound..<chosen.lowerBound + 40])
      let size = (0..<8).reduce(0) { $0 | Int(head[16 + $1]) << (8 * $1) }
      var contents = try #require(
        Packing.unpack(Array(bytes[chosen.lowerBound + 40..<chosen.upperBound]), into: size))
      for _ in 0...Int.random(in: 0..<3, using: &random) {
        let position = Int.random(in: 0..<contents.count, using: &random)
        contents[position] =
          Bool.random(using: &random)
          ? UInt8.random(in: 0...255, using: &random)
          : contents[position] ^ 1 << UInt8.random(in: 0..<8, using: &random)
      }
      let packed = try Packing.pack(contents)
      var section = head[..<24] + number(packed.count, 8) + number(Int(Checksum.of(packed)), 4)
      section += number(Int(Checksum.of(Array(section))), 4)
      try folder.write(
        Array(bytes[..<chosen.lowerBound] + section + packed + bytes[chosen.upperBound...]),
        to: "bent")
      let outcome = lua.run(
        """
        n = machine{ from = "\(folder.path)/bent" }
        n:check() n:guests() n:pins() n:meminfo() n:trace{ last = 9 } n:map() n:lru()
        """)
      if outcome.failure == nil { taken += 1 }
    }
    // Counters and names may hold anything.
    #expect(taken > 50 && taken < 400)
  }

  @Test("a write that fails leaves the old file and nothing else")
  func failedWrite() throws {
    let folder = try Folder()
    _ = try saved(folder)
    let before = try folder.read("m")
    try folder.write(Array("precious".utf8), to: "other")
    let lua = session()
    let outcome = lua.run(
      """
      m = machine{ ram = "64M" }
      ok, why = pcall(m.save, m, "\(folder.path)/other")
      assert(not ok and why:find("no saved machine"), why)
      ok, why = pcall(m.save, m, "\(folder.path)/none/m")
      assert(not ok and why:find("No such file"), why)
      ok, why = pcall(m.save, m, "\(folder.path)")
      assert(not ok, why)
      t = step(function() vm = m:guest{ ram = "64K" } vm:populate() end)
      t:next()
      ok, why = pcall(m.save, m, "\(folder.path)/m")
      assert(not ok and why:find("task 1 is in the middle of"), why)
      t:run()
      """)
    #expect(outcome.failure == nil, "\(outcome)")
    #expect(try folder.read("m") == before)
    #expect(try folder.read("other") == Array("precious".utf8))
    #expect(folder.names == ["m", "other"])
  }

  @Test("the sandbox keeps scripts in a folder, whatever links say")
  func sandbox() throws {
    let folder = try Folder()
    let outside = try Folder()
    unsafe symlink(outside.path, folder.path + "/link")
    unsafe symlink(outside.path + "/target", folder.path + "/leaf")
    try outside.write([], to: "target")
    let lua = session(.beneath(folder.path))
    for path in [
      outside.path + "/m", folder.path + "/../m", folder.path + "/link/m", folder.path + "/leaf",
      "/tmp/m", folder.path + "-beside",
    ] {
      let outcome = lua.run("machine{ ram = \"64M\" }:save(\"\(path)\", true)")
      #expect(
        outcome.failure?.message.contains("the sandbox lets scripts write in") == true, "\(path)")
    }
    #expect(
      lua.run("machine{ ram = \"64M\" }:save(\"\(folder.path)/m\")").failure == nil)
    #expect(outside.names == ["target"])
    let refused = session(.nowhere).run("machine{ ram = \"64M\" }:save(\"\(folder.path)/n\")")
    #expect(refused.failure?.message.contains("may not write files") == true)
    #expect(folder.names == ["leaf", "link", "m"])
  }
}

extension LuaOutcome {
  fileprivate var failure: LuaError? {
    if case .failure(let error) = self { return error }
    return nil
  }
}
