defmodule Penstock.StageModel do
  @moduledoc false
  # What a producer does, told as simply as can be: all events are in lists, all sums are counted anew, and every
  # dispatcher is a few lines. What the native core and the stage do in two places is compared with it.
  #
  # A dispatcher is `:demand`, `{:rate, n}`, `:broadcast` or `{:partition, count, consumers}`. Each function returns the
  # model after something has happened and all that follows from it has, too.

  import Penstock.StageModel.Dealing
  import Penstock.StageModel.Members, except: [demand: 1]

  alias __MODULE__

  defstruct [
    :dispatcher,
    :partition_of,
    :brings,
    :limit,
    :keep,
    next: 1,
    subscribers: %{},
    buffer: [],
    queues: %{},
    held_back: %{},
    credited: [],
    turn: 0,
    demand: 0,
    abandoned: 0,
    left: :infinity,
    owed: 0,
    mode: :forward,
    asks: [],
    flow?: false,
    expelled: [],
    # what is to be seen from outside
    got: %{},
    demanded: [],
    noted: [],
    cancelled: [],
    discarded: 0
  ]

  def new(options) do
    model = struct!(StageModel, options)
    with {:rate, n} <- model.dispatcher, do: %{model | left: n}, else: (_ -> model)
  end

  def subscribe(model, key, options) do
    if taken?(model, options[:partition]) do
      cancelled(model, key, {:partition_taken, options[:partition]}) |> flow() |> settle()
    else
      subscriber = %{
        demand: 0,
        turn: model.turn + 1,
        partition: options[:partition],
        lag: options[:lag] || :block,
        filter: options[:filter],
        queue: [],
        in?: true
      }

      %{model | turn: model.turn + 1} |> put(key, subscriber) |> flow() |> settle()
    end
  end

  defp taken?(%{dispatcher: {:partition, _count, consumers}} = model, partition),
    do: length(keys(model, partition)) >= consumers

  defp taken?(_model, _partition), do: false

  def cancel(model, key, reason), do: model |> leave(key) |> cancelled(key, reason) |> flow() |> settle()

  defp cancelled(model, key, reason),
    do: %{
      model
      | subscribers: Map.delete(model.subscribers, key),
        cancelled: [{key, reason} | model.cancelled]
    }

  def ask(%{mode: :forward} = model, key, n), do: model |> asked(key, n) |> settle()

  def ask(model, key, n) do
    case Enum.split(model.asks, -1) do
      {asks, [{^key, before}]} -> %{model | asks: asks ++ [{key, before + n}]}
      {_asks, _last} -> %{model | asks: model.asks ++ [{key, n}]}
    end
  end

  def emit(model, n) do
    {events, model} = fresh(model, n)
    model |> emitted(events) |> settle()
  end

  def note(model, message) do
    case model.mode do
      :forward ->
        mark(model, message)

      held ->
        if List.keymember?(held, :events, 0),
          do: %{model | mode: held ++ [{:note, message}]},
          else: mark(model, message)
    end
  end

  def pause(%{mode: :forward} = model), do: %{model | mode: []}
  def pause(model), do: model

  def resume(%{mode: :forward} = model), do: model

  def resume(%{asks: asks} = model) do
    model = Enum.reduce(asks, %{model | asks: []}, fn {key, n}, model -> asked(model, key, n) end)
    %{mode: held} = model = served(model)

    held
    |> Enum.reduce(%{model | mode: :forward}, fn
      {:events, events}, model -> emitted(model, events)
      {:demand, n}, model -> forward(model, n)
      {:note, message}, model -> mark(model, message)
    end)
    |> settle()
  end

  # An interval of the rate has passed.
  def tick(%{dispatcher: {:rate, n}} = model), do: %{model | left: n} |> flow() |> settle()

  ## What is to be seen

  defdelegate demand(model), to: Penstock.StageModel.Members

  def buffered(model), do: Enum.count(model.buffer, &match?({:event, _}, &1))

  def held(%{mode: :forward}), do: 0
  def held(%{mode: held}), do: Enum.sum(for {:events, events} <- held, do: length(events))

  defp fresh(model, n),
    do: {Enum.to_list(model.next..(model.next + n - 1)//1), %{model | next: model.next + n}}

  defp settle(%{expelled: [{key, reason} | expelled]} = model) do
    model = %{model | expelled: expelled}
    settle(if is_map_key(model.subscribers, key), do: model |> cancelled(key, reason) |> flow(), else: model)
  end

  defp settle(%{flow?: true} = model), do: settle(flow(%{model | flow?: false}))
  defp settle(model), do: model

  defp flow(%{mode: :forward} = model), do: served(model)
  defp flow(model), do: model

  defp served(%{credited: [partition | credited]} = model),
    do: served(serve_queue(%{model | credited: credited}, partition))

  defp served(model), do: model |> drain() |> claim()

  defp claim(model) do
    {more, model} = owed(model)
    forward(model, more)
  end

  # What the source is to be asked for now.
  defp owed(model) do
    more = max(demand(model) - model.owed, 0)
    {more, %{model | owed: model.owed + more}}
  end

  defp forward(model, 0), do: model

  defp forward(%{mode: :forward} = model, n) do
    model = %{model | demanded: [n | model.demanded]}

    case model.brings.(n) do
      0 ->
        model

      brought ->
        {events, model} = fresh(model, brought)
        emitted(model, events)
    end
  end

  defp forward(%{mode: held} = model, n), do: %{model | mode: held ++ [{:demand, n}]}

  defp asked(model, key, n) do
    case model.subscribers do
      %{^key => %{in?: true} = subscriber} ->
        {lagged, queue} = Enum.split(subscriber.queue, n)
        model = model |> put(key, %{subscriber | queue: queue}) |> got(key, lagged)
        model = credit(model, key, n - length(lagged))
        # the source is asked for what is wanted now, and not for what a filter then leaves out of the queue
        {more, model} = if model.buffer == [], do: owed(model), else: {:buffered, model}

        model =
          if queue(model, subscriber.partition) == [],
            do: model,
            else: serve_queue(model, subscriber.partition)

        if more == :buffered, do: served(model), else: forward(model, more)

      %{} ->
        model
    end
  end

  defp emitted(%{mode: :forward} = model, events) do
    model = %{model | owed: max(model.owed - length(events), 0)}

    if model.buffer == [] do
      {deals, rest, model} = deals(model, events, [])
      deals |> Enum.reduce(model, fn {to, events}, model -> hand(model, to, events) end) |> store(rest)
    else
      store(model, events)
    end
  end

  defp emitted(%{mode: held} = model, events), do: %{model | mode: held ++ [{:events, events}]}

  defp deals(model, [], deals), do: {Enum.reverse(deals), [], model}

  # A broadcast has one deal: those who hold nobody up are told of it later.
  defp deals(%{dispatcher: :broadcast} = model, events, [_] = deals), do: {deals, events, model}

  defp deals(model, events, deals) do
    case deal(model, length(events)) do
      nil ->
        {Enum.reverse(deals), events, model}

      {to, n, model} ->
        {now, later} = Enum.split(events, n)
        deals(model, later, [{to, now} | deals])
    end
  end

  defp drain(%{buffer: []} = model), do: model

  defp drain(%{buffer: [{:mark, message} | buffer]} = model),
    do: drain(pass(%{model | buffer: buffer}, message))

  defp drain(model) do
    segment = Enum.take_while(model.buffer, &match?({:event, _}, &1))

    case deal(model, length(segment)) do
      nil ->
        model

      {to, n, model} ->
        {now, buffer} = Enum.split(model.buffer, n)
        %{model | buffer: buffer} |> hand(to, Enum.map(now, &elem(&1, 1))) |> drain()
    end
  end

  defp store(model, events) do
    room = if model.keep == :first, do: max(limit(model) - buffered(model), 0), else: length(events)
    {kept, refused} = Enum.split(events, room)
    model = %{model | buffer: model.buffer ++ Enum.map(kept, &{:event, &1})}
    evict(%{model | discarded: model.discarded + length(refused)})
  end

  defp evict(model) do
    if buffered(model) > limit(model), do: evict_some(model), else: model
  end

  defp evict_some(%{buffer: [{:mark, message} | buffer]} = model),
    do: %{model | buffer: buffer} |> pass(message) |> evict_some()

  defp evict_some(%{buffer: [{:event, _} | buffer]} = model) do
    if buffered(model) > limit(model),
      do: evict_some(%{model | buffer: buffer, discarded: model.discarded + 1}),
      else: model
  end

  defp evict_some(model), do: model

  defp limit(%{limit: :infinity}), do: 1_000_000
  defp limit(%{limit: limit}), do: limit
end
