# An event manager, as GenEvent was one, with handlers that are processes of their own.
#
#     mix run examples/gen_event.exs
#
# Every handler gets every event. They work at the same time, one that fails takes nobody else down, and
# the manager knows when all of them can take more: whoever notifies may wait for that.

alias Penstock.Stage

defmodule News.Desk do
  @moduledoc """
  The manager: a producer that broadcasts. An event that nobody waits for yet is kept, with the one who wants to know
  that it has gone out.
  """
  use Penstock.Stage

  def start_link, do: Stage.start_link(__MODULE__, :ok, name: __MODULE__)

  @doc "Returns when the event has been sent to all handlers."
  def announce(event), do: Stage.call(__MODULE__, {:announce, event})

  @impl true
  def init(:ok), do: {:producer, {:queue.new(), 0}, dispatcher: Penstock.BroadcastDispatcher}

  @impl true
  def handle_call({:announce, event}, from, {waiting, demand}),
    do: send_out({:queue.in({event, from}, waiting), demand}, [])

  # What all handlers can take: asked for by all of them, that is.
  @impl true
  def handle_demand(more, {waiting, demand}), do: send_out({waiting, demand + more}, [])

  defp send_out({waiting, 0}, events), do: {:noreply, Enum.reverse(events), {waiting, 0}}

  defp send_out({waiting, demand}, events) do
    case :queue.out(waiting) do
      {{:value, {event, from}}, waiting} ->
        Stage.reply(from, :ok)
        send_out({waiting, demand - 1}, [event | events])

      {:empty, waiting} ->
        {:noreply, Enum.reverse(events), {waiting, demand}}
    end
  end
end

defmodule News.Reader do
  @moduledoc "A handler. It wants some subjects only, which it tells the manager: the others are not even sent."
  use Penstock.Stage

  @impl true
  def init({name, wanted, left}) do
    selector = fn {subject, _headline} -> subject in wanted end
    {:consumer, {name, left}, subscribe_to: [{News.Desk, selector: selector, max_demand: 10}]}
  end

  @impl true
  def handle_events(events, _from, {name, left}) do
    for {subject, headline} <- events, do: IO.puts("#{name} reads (#{subject}): #{headline}")
    left = left - length(events)
    if left > 0, do: {:noreply, [], {name, left}}, else: {:stop, :normal, {name, left}}
  end
end

{:ok, desk} = News.Desk.start_link()

readers =
  for reader <- [{"Ada", [:weather, :sport], 3}, {"Bo", [:weather], 2}] do
    {:ok, pid} = Stage.start_link(News.Reader, reader)
    Process.monitor(pid)
  end

News.Desk.announce({:weather, "rain from the west"})
News.Desk.announce({:sport, "the home team has won"})
News.Desk.announce({:weather, "sun again"})
IO.puts("three announcements have gone out")

for reader <- readers, do: receive(do: ({:DOWN, ^reader, _, _, _} -> :ok))
IO.puts("both have read their news")
Stage.stop(desk)
