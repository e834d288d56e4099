// Invariant: a capture is a directory of files as the kernel printed them, nothing interpreted, plus
// `capture.txt`, which says what was read and what could not be. The lists of free memory are read
// right before and right after the flags of all pages, so that a reader of the capture can tell how
// much the host changed meanwhile.

/// Copies what a running Linux host shows of its memory into a directory.
public enum HostCapture {
  /// What became of each file.
  public struct Report: Sendable {
    public struct Entry: Sendable {
      /// The name in the directory.
      public var name: String
      public var source: String
      /// Bytes as the host gave them; nil when the file could not be read.
      public var bytes: Int?
      /// Why it could not be read, and what would help.
      public var problem: String?
    }

    public var directory: String
    public var entries: [Entry] = []

    public var missing: [Entry] { entries.filter { $0.bytes == nil } }

    /// One line a file, each ended by a newline.
    public var text: String {
      var text = ""
      for entry in entries {
        if let bytes = entry.bytes {
          text += "read      \(entry.name)  \(bytes) bytes of \(entry.source)\n"
        } else {
          text += "not read  \(entry.name)  \(entry.source): \(entry.problem ?? "")\n"
        }
      }
      return text
    }
  }

  private struct Source {
    var name: String
    var path: String
    var isPacked = false
    /// What is lost without it.
    var loss = ""
  }

  /// The files in the order in which they are read: what never changes first.
  private static let sources: [Source] = [
    Source(name: "version", path: "/proc/version"),
    Source(name: "cmdline", path: "/proc/cmdline"),
    Source(name: "iomem", path: "/proc/iomem", loss: "holes will look like reserved memory"),
    Source(name: "meminfo", path: "/proc/meminfo"),
    Source(name: "vmstat", path: "/proc/vmstat"),
    Source(name: "transparent_hugepage", path: "/sys/kernel/mm/transparent_hugepage/enabled"),
    Source(name: "min_free_kbytes", path: "/proc/sys/vm/min_free_kbytes"),
    Source(name: "watermark_scale_factor", path: "/proc/sys/vm/watermark_scale_factor"),
    Source(name: "watermark_boost_factor", path: "/proc/sys/vm/watermark_boost_factor"),
    Source(name: "lowmem_reserve_ratio", path: "/proc/sys/vm/lowmem_reserve_ratio"),
    Source(
      name: "percpu_pagelist_high_fraction", path: "/proc/sys/vm/percpu_pagelist_high_fraction"),
    Source(name: "zoneinfo", path: "/proc/zoneinfo"),
    Source(
      name: "pagetypeinfo", path: "/proc/pagetypeinfo",
      loss: "the types of pageblocks will be guessed"),
    Source(name: "buddyinfo", path: "/proc/buddyinfo"),
    Source(
      name: "kpageflags.gz", path: "/proc/kpageflags", isPacked: true,
      loss: "the places of free and used pages will be invented"),
    Source(name: "buddyinfo.after", path: "/proc/buddyinfo"),
    Source(name: "kpagecount.gz", path: "/proc/kpagecount", isPacked: true),
  ]

  /// Captures this host.
  ///
  /// - Parameter directory: Made if it does not exist.
  /// - Parameter root: Where /proc and /sys are found; empty for the running system.
  /// - Throws: When the directory cannot be written or holds a capture already, or when the host
  ///   does not show /proc/zoneinfo and /proc/buddyinfo, without which nothing can be rebuilt.
  public static func write(
    to directory: String, root: String = ""
  ) throws(RecordingError) -> Report {
    do throws(HostFile.Failure) {
      try HostFile.makeDirectory(directory)
    } catch {
      throw RecordingError("cannot make \(directory): \(error.reason); name another directory")
    }
    if HostFile.exists(directory + "/capture.txt") {
      throw RecordingError("\(directory) holds a capture already; name another directory")
    }
    let architecture = HostFile.architecture()
    var manifest = "pinlab capture 1\n"
    manifest += "machine \(architecture.machine)\npage_size \(architecture.pageSize)\n"
    var report = Report(directory: directory)
    for source in nodeSources(root) + sources {
      let entry = try copy(source, to: directory, root: root)
      report.entries.append(entry)
      manifest +=
        entry.bytes.map { "read \(source.name) \($0)\n" }
        ?? "missing \(source.name) \(entry.problem ?? "")\n"
    }
    for name in ["zoneinfo", "buddyinfo"] {
      if let lost = report.missing.first(where: { $0.name == name }) {
        throw RecordingError(
          "\(lost.source): \(lost.problem ?? ""); without it there is nothing to capture")
      }
    }
    do throws(HostFile.Failure) {
      try HostFile.write(Array(manifest.utf8), to: directory + "/capture.txt")
    } catch {
      throw RecordingError("cannot write \(directory)/capture.txt: \(error.reason)")
    }
    return report
  }

  /// The CPUs of each node, for as many nodes as there are without a gap.
  private static func nodeSources(_ root: String) -> [Source] {
    var sources: [Source] = []
    while sources.count < 32 {
      let node = "node\(sources.count)"
      let path = "/sys/devices/system/node/\(node)/cpulist"
      guard HostFile.exists(root + path) else { break }
      sources.append(Source(name: node + ".cpulist", path: path))
    }
    return sources
  }

  private static func copy(
    _ source: Source, to directory: String, root: String
  ) throws(RecordingError) -> Report.Entry {
    var entry = Report.Entry(name: source.name, source: source.path)
    let target = directory + "/" + source.name
    var bytes: [UInt8] = []
    do throws(HostFile.Failure) {
      if source.isPacked {
        entry.bytes = try HostFile.pack(root + source.path, to: target)
        return entry
      }
      bytes = try HostFile.read(root + source.path)
    } catch {
      entry.problem = problem(error, source)
      return entry
    }
    do throws(HostFile.Failure) {
      try HostFile.write(bytes, to: target)
    } catch {
      throw RecordingError("cannot write \(target): \(error.reason)")
    }
    entry.bytes = bytes.count
    return entry
  }

  private static func problem(_ failure: HostFile.Failure, _ source: Source) -> String {
    var text = failure.reason
    // EACCES and EPERM, the two that another user would not get.
    if failure.errno == 13 || failure.errno == 1 { text += "; run as root to have it" }
    if failure.isMissing { text += "; this kernel was built without it" }
    if !source.loss.isEmpty { text += "; " + source.loss }
    return text
  }
}
