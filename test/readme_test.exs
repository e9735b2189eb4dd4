defmodule Penstock.ReadmeTest do
  # The README's first look is run as it stands there, but for its port, its folder and its names.
  use ExUnit.Case, async: true

  import ExUnit.CaptureIO

  alias Penstock.EventStore

  @readme Path.expand("../README.md", __DIR__)

  defp first_look do
    [_, code] = Regex.run(~r/## A first look.*?```elixir\n(.*?)```/s, File.read!(@readme))
    code
  end

  # Names of its own, for tests run beside one another.
  defp adapted(code, suffix) do
    for {from, to} <- [
          {"MyHandler", "Readme#{suffix}Handler"},
          {"MyProducer", "Readme#{suffix}Producer"},
          {"MyStore", "Readme#{suffix}Store"},
          {"MyServer", "Readme#{suffix}Server"},
          {":positions", ":readme_positions_#{String.downcase(suffix)}"},
          {"2113", "#{free_port()}"},
          {~s("events"), ":memory"}
        ],
        reduce: code do
      code ->
        assert code =~ from
        String.replace(code, from, to)
    end
  end

  defp free_port do
    {:ok, socket} = :gen_tcp.listen(0, ip: {127, 0, 0, 1})
    {:ok, port} = :inet.port(socket)
    :gen_tcp.close(socket)
    port
  end

  # The script in a process of its own, which goes on as `--no-halt` has it, until the test's end.
  defp run(code) do
    test = self()
    leader = Process.group_leader()

    start_supervised!(
      {Task,
       fn ->
         Process.group_leader(self(), leader)
         Code.eval_string(code, [], file: @readme)
         send(test, :ready)
         Process.sleep(:infinity)
       end}
    )

    assert_receive :ready, 20_000
  end

  test "it prints what it says" do
    [_, said] = Regex.run(~r/prints\n\n    (.*?)\n/s, File.read!(@readme))
    code = "First" |> then(&adapted(first_look(), &1)) |> told()

    assert capture_io(fn ->
             run(code)
             assert_receive :printed, 20_000
           end) =~ said <> "\n"
  end

  # Tells the test when something was printed.
  defp told(code) do
    Process.register(self(), __MODULE__.Told)
    printing = "IO.inspect({event.type, event.body})"
    assert code =~ printing
    String.replace(code, printing, printing <> "\nsend(#{inspect(__MODULE__.Told)}, :printed)")
  end

  # Called in place of what the README prints: fails at the first event until it was tried six times.
  def handle(event) do
    tries = :ets.update_counter(:readme_positions_failing, :tries, 1, {:tries, 0})
    revision = Penstock.Event.revision(event)

    if revision == 0 and tries <= 6 do
      send(__MODULE__.Failing, {:failed, tries})
      raise "try #{tries} fails"
    end

    send(__MODULE__.Failing, {:handled, revision})
  end

  @tag :capture_log
  test "an event that fails, twice and more, comes again, and the application lives" do
    Process.register(self(), __MODULE__.Failing)

    code =
      first_look()
      |> adapted("Failing")
      |> String.replace("IO.inspect({event.type, event.body})", "#{inspect(__MODULE__)}.handle(event)")
      |> String.replace("Process.sleep(1_000)", "Process.sleep(1)")

    run(code)
    assert_receive {:failed, 1}, 20_000
    [store, server] = for name <- [ReadmeFailingStore, ReadmeFailingServer], do: Process.whereis(name)
    for try <- 2..6, do: assert_receive({:failed, ^try}, 20_000)
    assert_receive {:handled, 0}, 20_000

    {:ok, %{revision: 1}} =
      EventStore.append(ReadmeFailingStore, "orders", Penstock.Event.new("OrderPlaced", %{"total" => 1}))

    assert_receive {:handled, 1}, 20_000

    assert [store, server] ==
             for(name <- [ReadmeFailingStore, ReadmeFailingServer], do: Process.whereis(name))
  end
end
