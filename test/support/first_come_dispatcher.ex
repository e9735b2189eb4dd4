defmodule Penstock.FirstComeDispatcher do
  @moduledoc false
  # A dispatcher as a user would write it: whoever came first gets what it has asked for before others get anything.
  #
  # Its state are the consumers with their demand, in the order in which they came, and the demand that those left who
  # are gone: the producer has been asked for it, so it serves the next who ask. What came for those who are gone is held
  # in the stage's buffer, and is older than all that comes: whoever asks is given of that first.

  @behaviour Penstock.Dispatcher

  @impl true
  def init(options) do
    if test = options[:test], do: send(test, {:init, self()})
    {:ok, {[], 0, 0}}
  end

  @impl true
  def subscribe(options, from, {consumers, left, held}) do
    if options[:refuse],
      do: {:error, options[:refuse]},
      else: {:ok, 0, {consumers ++ [{from, 0}], left, held}}
  end

  @impl true
  def cancel(from, {consumers, left, held}) do
    case List.keytake(consumers, from, 0) do
      {{^from, demand}, consumers} -> {:ok, 0, {consumers, left + demand, held}}
      nil -> {:ok, 0, {consumers, left, held}}
    end
  end

  @impl true
  def ask(n, from, {consumers, left, held}) do
    {^from, demand} = List.keyfind(consumers, from, 0)
    from_buffer = min(n, held)
    asked_already = min(n - from_buffer, left)
    consumers = List.keyreplace(consumers, from, 0, {from, demand + n})
    {:ok, n - asked_already, {consumers, left - asked_already, held - from_buffer}}
  end

  @impl true
  def dispatch(events, _length, {consumers, left, held}) do
    {events, consumers} = deal(consumers, events, [])
    # what is buffered now was brought for those who are gone
    count = length(events)
    {:ok, events, {consumers, max(left - count, 0), held + count}}
  end

  defp deal([{{pid, tag} = from, demand} | rest], [_ | _] = events, done) when demand > 0 do
    {now, later} = Enum.split(events, demand)
    Process.send(pid, {:"$gen_consumer", {self(), tag}, now}, [:noconnect])
    deal(rest, later, [{from, demand - length(now)} | done])
  end

  defp deal([consumer | rest], events, done), do: deal(rest, events, [consumer | done])
  defp deal([], events, done), do: {events, Enum.reverse(done)}

  @impl true
  def info(message, state) do
    send(self(), message)
    {:ok, state}
  end
end
