# A linear subscription from end to end: a handler that fails on event 42, and what becomes of it.
#
#     bin/demo                                        with an embedded server, on disk
#     bin/demo --connection URI --stream NAME         with a server of yours; NAME and NAME-catch-up are written to

alias Penstock.{Event, EventStore, LinearSubscription}

defmodule Demo.Journal do
  @moduledoc "What happened, and where the handlers are: what a database would be in production."

  def open, do: :ets.new(__MODULE__, [:public, :named_table])

  # Done and remembered in one step, as a transaction would do it.
  def handled(stream, revision) do
    unless follows?(position(stream), revision),
      do: :ets.update_counter(__MODULE__, :disordered, 1, {:disordered, 0})

    :ets.insert(__MODULE__, {{:position, stream}, revision})
    :ets.update_counter(__MODULE__, {:handled, stream, revision}, 1, {{:handled, stream, revision}, 0})
  end

  def position(stream) do
    case :ets.lookup(__MODULE__, {:position, stream}) do
      [{_, revision}] -> revision
      [] -> :start
    end
  end

  defp follows?(:start, revision), do: revision == 0
  defp follows?(position, revision), do: revision == position + 1

  def disordered, do: :ets.lookup(__MODULE__, :disordered) |> Keyword.get(:disordered, 0)

  def tries(revision), do: :ets.update_counter(__MODULE__, {:tries, revision}, 1, {{:tries, revision}, 0})
  def tried(revision), do: :ets.lookup_element(__MODULE__, {:tries, revision}, 2)

  @doc "How many revisions below `count` were handled, never handled, and handled more than once."
  def account(stream, count) do
    times = for revision <- 0..(count - 1), do: times(stream, revision)

    %{
      handled: Enum.count(times, &(&1 > 0)),
      lost: Enum.count(times, &(&1 == 0)),
      doubled: Enum.count(times, &(&1 > 1))
    }
  end

  defp times(stream, revision) do
    case :ets.lookup(__MODULE__, {:handled, stream, revision}) do
      [{_, times}] -> times
      [] -> 0
    end
  end
end

defmodule Demo.Handler do
  @moduledoc "Handles one event at a time, and blocks at one it cannot handle."

  use Penstock.Stage

  @repaired_at_try 3

  def start_link(stream), do: Penstock.Stage.start_link(__MODULE__, stream)

  @impl true
  def init(stream), do: {:consumer, stream, subscribe_to: [{Demo.Producer, max_demand: 1}]}

  @impl true
  def handle_events([event], _from, stream) do
    revision = Event.revision(event)
    if revision == 42, do: maybe_fail()
    Demo.Journal.handled(stream, revision)
    if revision in [0, 1, 40, 41, 42, 43] or revision > 58, do: IO.puts("  handled event #{revision}")
    send(Demo, {:handled, stream, revision})
    {:noreply, [], stream}
  end

  defp maybe_fail do
    try = Demo.Journal.tries(42)

    if try < @repaired_at_try do
      IO.puts("  event 42, try #{try}: the handler raises")
      raise "aaaaah!"
    else
      IO.puts("  event 42, try #{try}: the handler was repaired meanwhile")
    end
  end
end

defmodule Demo.Counter do
  @moduledoc "Handles many events at a time, as fast as they come."

  use Penstock.Stage

  def start_link({producer, stream}), do: Penstock.Stage.start_link(__MODULE__, {producer, stream})

  @impl true
  def init({producer, stream}), do: {:consumer, stream, subscribe_to: [{producer, max_demand: 1000}]}

  @impl true
  def handle_events(events, _from, stream) do
    for event <- events, do: Demo.Journal.handled(stream, Event.revision(event))
    send(Demo, {:handled, stream, Event.revision(List.last(events))})
    {:noreply, [], stream}
  end
end

defmodule Demo do
  @first 60
  @live 5
  @catch_up 200_000

  def main(arguments) do
    {options, rest, wrong} = OptionParser.parse(arguments, strict: [connection: :string, stream: :string])

    if rest != [] or wrong != [] or
         Keyword.has_key?(options, :connection) != Keyword.has_key?(options, :stream),
       do: usage()

    Process.register(self(), __MODULE__)
    Demo.Journal.open()
    quiet_crashes()
    {uri, clean_up} = server(options[:connection])
    connect(uri)
    stream = options[:stream] || "orders"

    length = fill(stream, @first, &%{"order" => &1, "total" => 9.5})

    IO.puts(
      "The stream #{inspect(stream)} has #{length} events. Its handler takes one at a time and fails on event 42."
    )

    {:ok, supervisor} = supervise(stream)
    wait_for(stream, length - 1)
    wait_for_subscription()
    IO.puts("Now #{@live} events are appended while the handler waits for them.")
    {:ok, _} = EventStore.append(Demo.Store, stream, orders(length..(length + @live - 1)))
    wait_for(stream, length + @live - 1)
    Supervisor.stop(supervisor)
    one = Demo.Journal.account(stream, length + @live)

    {count, speed} = catch_up(stream <> "-catch-up")
    two = Demo.Journal.account(stream <> "-catch-up", count)
    clean_up.()
    finish(Map.merge(one, two, fn _, left, right -> left + right end), one.handled + one.lost + count, speed)
  end

  defp usage do
    IO.puts(:stderr, "usage: bin/demo [--connection URI --stream NAME]")
    System.halt(2)
  end

  # A first call shows whether there is a server.
  defp connect(uri) do
    Process.flag(:trap_exit, true)

    with {:ok, _} <- EventStore.start_link(name: Demo.Store, connection_string: uri),
         {:ok, _} <- read_last("none") do
      Process.flag(:trap_exit, false)
    else
      {:error, %Penstock.Error{} = error} -> give_up(Exception.message(error))
    end
  end

  defp give_up(message) do
    IO.puts(:stderr, "demo: #{message}")
    System.halt(1)
  end

  # The demo tells of the crashes itself; the reports of OTP would bury it.
  defp quiet_crashes do
    Logger.configure(level: :info)
    Logger.configure_backend(:console, format: "  log: $message\n")
    :logger.add_primary_filter(:crashes, {&:logger_filters.domain/2, {:stop, :sub, [:otp]}})

    :logger.add_primary_filter(
      :terminations,
      {fn event, _ -> if(match?(%{meta: %{error_logger: _}}, event), do: :stop, else: :ignore) end, []}
    )
  end

  defp server(nil) do
    folder = Path.join(System.tmp_dir!(), "penstock-demo-#{System.pid()}")
    {:ok, server} = EventStore.Server.start_link(port: 0, data_dir: folder)
    uri = EventStore.Server.connection_string(server)
    IO.puts("An embedded server at #{uri} keeps its data in #{folder}.")
    {uri, fn -> {GenServer.stop(server), File.rm_rf!(folder)} end}
  end

  defp server(uri), do: {uri, fn -> :ok end}

  # One event fails twice. Each time both processes are started again, which :one_for_all counts as one restart; a
  # supervisor's limit is three in five seconds unless it is told otherwise.
  defp supervise(stream) do
    producer =
      {LinearSubscription,
       name: Demo.Producer,
       connection: Demo.Store,
       stream_name: stream,
       restore_stream_position!: {Demo.Journal, :position, [stream]}}

    result =
      Supervisor.start_link([producer, {Demo.Handler, stream}], strategy: :one_for_all, max_restarts: 10)

    spawn_link(fn -> watch(Demo.Producer) end)
    result
  end

  defp watch(name) do
    case GenServer.whereis(name) do
      nil ->
        watch(name)

      pid ->
        monitor = Process.monitor(pid)

        receive do
          {:DOWN, ^monitor, _, _, :shutdown} ->
            :ok

          {:DOWN, ^monitor, _, _, _} ->
            IO.puts("  the producer went down with the handler; both are started again") && watch(name)
        end
    end
  end

  defp wait_for_subscription do
    if LinearSubscription.info(Demo.Producer).state != :subscribed, do: wait_for_subscription()
  end

  defp fill(stream, least, body) do
    from = length_of(stream)

    for first <- Enum.take_while(Stream.iterate(from, &(&1 + 1000)), &(&1 < least)) do
      events =
        for number <- first..(min(first + 1000, least) - 1), do: Event.new("OrderPlaced", body.(number))

      {:ok, _} = EventStore.append(Demo.Store, stream, events)
    end

    max(from, least)
  end

  defp length_of(stream) do
    case read_last(stream) do
      {:ok, [last]} -> Event.revision(last) + 1
      {:ok, []} -> 0
    end
  end

  defp read_last(stream) do
    case EventStore.read(Demo.Store, stream, from: :end, direction: :backwards, max_count: 1) do
      {:error, %{reason: :stream_not_found}} -> {:ok, []}
      answer -> answer
    end
  end

  defp orders(range),
    do: for(number <- range, do: Event.new("OrderPlaced", %{"order" => number, "total" => 9.5}))

  defp wait_for(stream, revision) do
    receive do
      {:handled, ^stream, ^revision} -> :ok
      {:handled, ^stream, _} -> wait_for(stream, revision)
    end
  end

  defp catch_up(stream) do
    IO.puts("A stream of #{@catch_up} events is written, to be caught up with.")

    count =
      fill(
        stream,
        @catch_up,
        &%{"order" => &1, "customer" => "c-#{rem(&1, 97)}", "total" => 9.5, "paid" => true}
      )

    settings = [connection: Demo.Store, stream_name: stream, restore_stream_position!: fn -> :start end]
    began = System.monotonic_time(:millisecond)
    {:ok, producer} = LinearSubscription.start_link(settings)
    {:ok, counter} = Demo.Counter.start_link({producer, stream})
    progress(stream, count, began, 0)
    ms = max(System.monotonic_time(:millisecond) - began, 1)
    for stage <- [counter, producer], do: GenServer.stop(stage)
    {count, div(count * 1000, ms)}
  end

  defp progress(stream, count, began, shown) do
    receive do
      {:handled, ^stream, revision} ->
        percent = div((revision + 1) * 100, count)
        if div(percent, 10) > div(shown, 10), do: show(percent, revision + 1, began)
        if revision + 1 < count, do: progress(stream, count, began, max(shown, percent))
    end
  end

  defp show(percent, handled, began) do
    ms = max(System.monotonic_time(:millisecond) - began, 1)

    IO.puts(
      "  [#{String.pad_trailing(String.duplicate("#", div(percent, 5)), 20)}] #{handled} events, #{div(handled * 1000, ms)} events/s"
    )
  end

  defp finish(account, expected, speed) do
    tried = Demo.Journal.tried(42)

    ok? =
      account == %{handled: expected, lost: 0, doubled: 0} and Demo.Journal.disordered() == 0 and tried > 1

    IO.puts(
      "demo #{if ok?, do: "ok", else: "failed"}: #{account.handled} handled in order, #{account.lost} lost, #{account.doubled} doubled, event 42 tried #{tried} times, catch-up #{speed} events/s"
    )

    System.halt(if ok?, do: 0, else: 1)
  end
end

Demo.main(System.argv())
