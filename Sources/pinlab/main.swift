import MemoryModel
import Recordings
for path in CommandLine.arguments.dropFirst() {
  do {
    var r = try Replayer(Recording(path: path))
    try r.run()
    let report = r.report
    print(
      report.file, report.inferred, report.operations, report.agreeing, report.pageEvents,
      report.agrees ? "AGREE" : "DIFFER",
      report.stopped.map { "stopped \($0.index): \($0.reason)" } ?? "", report.seconds)
    if let d = report.firstDisagreement {
      print("  ", d.index, d.command, "| rec:", d.recorded, "| mod:", d.model)
    }
    for d in report.dumps where !d.differences.isEmpty {
      print("  dump", d.tag, d.index); for x in d.differences.prefix(8) { print("     ", x) }
    }
    if let broken = r.machine.check() { print("   CHECK", broken) }
  } catch { print(path, error) }
}
