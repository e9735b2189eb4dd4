# How late an event is that is appended now: from the append to handle_events, beside a plain tonic subscriber of the same
# stream. Both wait for the events of a third program, which appends one at a time with a pause in between.

Code.require_file("support.exs", __DIR__)

defmodule Live.Consumer do
  use Penstock.Stage

  def start_link(arguments), do: Penstock.Stage.start_link(__MODULE__, arguments)

  @impl true
  def init({parent, producer, count}),
    do: {:consumer, {parent, count, []}, subscribe_to: [{producer, max_demand: 1000}]}

  @impl true
  def handle_events(events, _from, {parent, left, times}) do
    now = :os.system_time(:nanosecond)
    times = Enum.reduce(events, times, fn _event, times -> [now | times] end)
    left = left - length(events)
    if left == 0, do: send(parent, {:times, Enum.reverse(times)})
    {:noreply, [], {parent, left, times}}
  end
end

defmodule Live do
  @stream "live"
  @pause_us 1_000

  def main(arguments) do
    {options, [], []} = OptionParser.parse(arguments, strict: [quick: :boolean])
    {rounds, events} = if options[:quick], do: {6, 1_000}, else: {20, 2_000}
    Logger.configure(level: :warning)
    uri = Bench.start_server()
    round(:ours_first, uri, 200)

    results =
      for number <- 1..rounds do
        # who is subscribed first may be sent to first
        order = if rem(number, 2) == 0, do: :ours_first, else: :plain_first
        {plain, ours} = round(order, uri, events)

        IO.puts(
          for {name, late} <- [plain: plain, ours: ours], into: "#{order}: " do
            [p50, p99] = for share <- [0.5, 0.99], do: div(Bench.percentile(late, share), 1000)
            "#{name} p50 #{p50} us, p99 #{p99} us  "
          end
        )

        {plain, ours}
      end

    for {name, share} <- [{"p50", 0.5}, {"p99", 0.99}] do
      ratios =
        for {plain, ours} <- results, do: Bench.percentile(ours, share) / Bench.percentile(plain, share)

      Bench.figure("live_#{name}_ratio", Bench.median(ratios))
    end
  end

  defp round(:plain_first, uri, events) do
    plain = plain(uri, events)
    measure(plain, ours(uri, events), uri, events)
  end

  defp round(:ours_first, uri, events) do
    ours = ours(uri, events)
    measure(plain(uri, events), ours, uri, events)
  end

  defp plain(uri, events) do
    program = "_build/native/release/examples/plain_live"
    {port, "subscribed"} = Bench.start(program, [Bench.address(uri), @stream, "#{events}"])
    port
  end

  defp ours(uri, events) do
    {:ok, producer} = Bench.subscribe(uri, @stream, restore_stream_position!: fn -> :end end)
    {:ok, consumer} = Live.Consumer.start_link({self(), producer, events})
    await_subscribed(producer)
    {producer, consumer}
  end

  defp await_subscribed(producer) do
    unless Penstock.LinearSubscription.info(producer).state == :subscribed do
      Process.sleep(1)
      await_subscribed(producer)
    end
  end

  # How late each event was, in ns.
  defp measure(plain, {producer, consumer}, uri, events) do
    arguments = [Bench.address(uri), "paced", @stream, "#{events}", "#{@pause_us}"]
    began = for ns <- Bench.example("plain_append", arguments), do: String.to_integer(ns)

    plain_had =
      for _ <- 1..events do
        receive do: ({^plain, {:data, {:eol, ns}}} -> String.to_integer(ns))
      end

    receive do: ({^plain, {:exit_status, 0}} -> :ok)
    ours_had = receive do: ({:times, times} -> times)
    for pid <- [consumer, producer], do: GenServer.stop(pid)
    {Enum.zip_with(plain_had, began, &-/2), Enum.zip_with(ours_had, began, &-/2)}
  end
end

Live.main(System.argv())
