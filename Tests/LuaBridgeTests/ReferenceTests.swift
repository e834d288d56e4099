import LuaBridge
import Testing

@Suite struct ReferenceTests {
  @Test func examplesHold() {
    for (name, source) in Fixture.library.examples {
      let problem = LuaExample.check(source, in: Fixture.session())
      #expect(problem == nil, "\(name)")
    }
    let session = Fixture.session()
    #expect(LuaExample.check("1 + 1 --> 3", in: session) == "1 + 1 \nshowed 2, not 3")
    #expect(LuaExample.check("for i = 1, 2 do\n  x = i\nend\nx --> 2", in: session) == nil)
    #expect(LuaExample.check("alloc_pages(99) --> error: got 99", in: session) == nil)
    #expect(LuaExample.check("error('x')", in: session) != nil)
  }

  @Test func helpOfAMethod() {
    #expect(
      Fixture.printed("local c = counter{} help(c.add)") == """
        counter:add([n])
          Counts up.
          Arguments
            n  integer 1..100, default 1. How many.
          Returns
            integer  The new count.
          Refuses with
            ENOSPC  the counter is full
          Kernel: atomic_add()
          Rules: C1.2
          Example
            c = counter{ start = 3 }
            c:add(2) --> 5

        """)
  }

  @Test func helpOfEverythingElse() {
    let object = Fixture.printed("counter{}:help()")
    #expect(object.hasPrefix("counter\n  Counts.\n\n  It is full at 1000.\n  Fields\n"))
    #expect(Fixture.printed("help(counter{})") == object)
    #expect(Fixture.printed("help('counter.add')") == Fixture.printed("help(counter{}.add)"))
    #expect(Fixture.printed("help('add')") == Fixture.printed("help(counter{}.add)"))
    #expect(
      Fixture.printed("help('counter')").contains("counter{ [start], [kernel], [ram], [path] }"))
    #expect(Fixture.printed("help()").contains("alloc_pages(order, [flags])"))
    #expect(Fixture.printed("help(5)") == "No help for 5. help() lists what there is.\n")
    #expect(
      Fixture.error("help('contuer')") == "t:1: no help for 'contuer'; did you mean 'counter'?")
    #expect(Fixture.printed("help('count')").hasPrefix("counter.count\n  integer"))
  }

  @Test func markdown() {
    let text = LuaReferenceText.markdown(Fixture.library)
    #expect(text.hasPrefix("# test\n\nThe test library.\n\n## Functions\n"))
    #expect(
      text.contains(
        """
        ### `counter:add([n])`

        Counts up.

        | Argument | Type | |
        |---|---|---|
        | `n` | integer 1..100 | How many. Default: 1. |

        Returns integer: The new count.

        Returns `nil, err` with `err.errno == "ENOSPC"`: the counter is full

        Kernel: `atomic_add()`

        Rules: C1.2

        ```lua
        c = counter{ start = 3 }
        c:add(2) --> 5
        ```

        """))
  }

  @Test func metaFileIsLua() {
    let text = LuaReferenceText.meta(Fixture.library)
    #expect(
      text.contains(
        """
        ---Counts up.
        ---@param n? integer How many.
        ---@return integer? # The new count.
        function counter:add(n) end
        """))
    #expect(text.contains("---@class counter.fields\n---@field start? integer \n"))
    #expect(text.contains("\npages = {}\n"))
    let session = LuaSession { _ in }
    #expect(session.run(text).failure == nil)
  }
}
