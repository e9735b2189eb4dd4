defmodule Penstock.StageModel do
  @moduledoc false
  # What a producer does, told as simply as can be: all events are in lists, all sums are counted anew, and every
  # dispatcher is a few lines. What the native core and the stage do in two places is compared with it.
  #
  # A dispatcher is `:demand`, `{:rate, n}`, `:broadcast` or `{:partition, count, consumers}`. Each function returns the
  # model after something has happened and all that follows from it has, too.

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

  ## What happens

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

  # Those who fail are out at once, and told of it later.
  defp leave(model, key) do
    case model.subscribers do
      %{^key => %{in?: true, demand: demand} = subscriber} ->
        put(%{model | abandoned: model.abandoned + demand}, key, %{subscriber | in?: false, demand: 0})

      %{} ->
        model
    end
  end

  defp cancelled(model, key, reason),
    do: %{
      model
      | subscribers: Map.delete(model.subscribers, key),
        cancelled: [{key, reason} | model.cancelled]
    }

  defp expel(model, key, reason),
    do: leave(%{model | expelled: model.expelled ++ [{key, reason}]}, key)

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

  def demand(%{dispatcher: :broadcast} = model) do
    {blocking, lagging} = model |> members() |> Enum.split_with(fn {_key, s} -> s.lag == :block end)

    case {blocking, lagging} do
      {[], []} -> 0
      {[], lagging} -> lagging |> Enum.map(fn {_key, s} -> s.demand end) |> Enum.max()
      {blocking, _lagging} -> blocking |> Enum.map(fn {_key, s} -> s.demand end) |> Enum.min()
    end
  end

  def demand(%{dispatcher: {:partition, _count, _consumers}} = model), do: model.demand

  def demand(model),
    do: min(model |> members() |> Enum.map(fn {_key, s} -> s.demand end) |> Enum.sum(), model.left)

  def buffered(model), do: Enum.count(model.buffer, &match?({:event, _}, &1))

  def held(%{mode: :forward}), do: 0
  def held(%{mode: held}), do: Enum.sum(for {:events, events} <- held, do: length(events))

  ## How

  defp put(model, key, subscriber), do: %{model | subscribers: Map.put(model.subscribers, key, subscriber)}
  defp members(model), do: for({key, %{in?: true} = s} <- model.subscribers, do: {key, s})
  defp keys(model, partition), do: for({key, s} <- members(model), s.partition == partition, do: key)

  # The longest wait first among those who wait for most.
  defp first(model, keys) do
    keys
    |> Enum.map(&{&1, model.subscribers[&1]})
    |> Enum.filter(fn {_key, s} -> s.demand > 0 end)
    |> Enum.max_by(fn {_key, s} -> {s.demand, -s.turn} end, fn -> nil end)
  end

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

  defp credit(model, key, n) do
    subscriber = model.subscribers[key]
    taken_over = min(n, model.abandoned)

    %{
      model
      | turn: model.turn + 1,
        abandoned: model.abandoned - taken_over,
        demand: model.demand + n - taken_over
    }
    |> put(key, %{subscriber | demand: subscriber.demand + n, turn: model.turn + 1})
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

  ## Dispatchers

  defp deal(%{dispatcher: :broadcast} = model, available) do
    case min(demand(model), available) do
      0 ->
        nil

      n ->
        blocking = for {key, %{lag: :block}} <- members(model), do: key
        {:everyone, n, Enum.reduce(blocking, model, &spend(&2, &1, n))}
    end
  end

  defp deal(%{dispatcher: {:partition, _count, _consumers}} = model, available) do
    case min(model.demand, available) do
      0 -> nil
      n -> {:split, n, %{model | demand: model.demand - n}}
    end
  end

  defp deal(model, available) do
    with n when n > 0 <- min(available, model.left),
         {key, subscriber} <- first(model, Map.keys(model.subscribers)) do
      n = min(n, subscriber.demand)
      left = if model.left == :infinity, do: :infinity, else: model.left - n
      {key, n, spend(%{model | left: left}, key, n)}
    else
      _ -> nil
    end
  end

  defp spend(model, key, n) do
    subscriber = model.subscribers[key]

    put(%{model | turn: model.turn + 1}, key, %{
      subscriber
      | demand: subscriber.demand - n,
        turn: model.turn + 1
    })
  end

  defp hand(model, :everyone, events),
    do: model.subscribers |> Map.keys() |> Enum.sort() |> Enum.reduce(model, &share(&2, &1, events))

  defp hand(model, :split, events), do: split(model, events)
  defp hand(model, key, events), do: deliver(model, key, events)

  defp share(model, key, events) do
    case model.subscribers[key] do
      %{in?: false} -> model
      %{lag: :block} -> deliver(model, key, events)
      subscriber -> lag(model, key, subscriber, filter(subscriber, events), length(events))
    end
  end

  defp lag(model, key, _subscriber, :failed, _dealt), do: expel(model, key, :filter_failed)

  defp lag(model, key, subscriber, wanted, dealt) do
    {now, later} = Enum.split(wanted, subscriber.demand)
    model = %{model | flow?: model.flow? or length(wanted) < dealt}

    case subscriber.lag do
      :cancel when later != [] ->
        # what it was cancelled for was not its own
        expel(%{model | flow?: model.flow?}, key, :lagging)

      :cancel ->
        model |> spend(key, length(now)) |> got(key, now)

      {:drop_oldest, limit} ->
        queue = Enum.take(subscriber.queue ++ later, -limit)
        model = model |> spend(key, length(now)) |> got(key, now)
        put(model, key, %{model.subscribers[key] | queue: queue})
    end
  end

  defp split(%{dispatcher: {:partition, count, _consumers}} = model, events) do
    lists = Enum.group_by(events, &model.partition_of.(&1, count))
    none = length(Map.get(lists, :none, []))
    model = %{model | demand: model.demand + none, flow?: model.flow? or none > 0}

    {deliveries, model} =
      lists
      |> Map.delete(:none)
      |> Enum.sort()
      |> Enum.flat_map_reduce(model, fn {partition, events}, model ->
        if queue(model, partition) == [] do
          {deals, rest, model} = deal_among(model, partition, events, [])
          {deals, enqueue(model, partition, rest)}
        else
          {[], enqueue(model, partition, events)}
        end
      end)

    Enum.reduce(deliveries, model, fn {key, events}, model -> deliver(model, key, events) end)
  end

  defp deal_among(model, _partition, [], deals), do: {Enum.reverse(deals), [], model}

  defp deal_among(model, partition, events, deals) do
    case first(model, keys(model, partition)) do
      nil ->
        {Enum.reverse(deals), events, model}

      {key, %{demand: demand}} ->
        {now, later} = Enum.split(events, demand)
        model |> spend(key, length(now)) |> deal_among(partition, later, [{key, now} | deals])
    end
  end

  defp queue(model, partition), do: Map.get(model.queues, partition, [])

  defp enqueue(model, partition, events),
    do: put_queue(model, partition, queue(model, partition) ++ Enum.map(events, &{:event, &1}))

  defp put_queue(model, partition, queue), do: %{model | queues: Map.put(model.queues, partition, queue)}

  defp serve_queue(model, partition) do
    {deals, model} = serve(model, partition, [])

    Enum.reduce(deals, model, fn
      {:mark, message}, model -> let_by(model, message)
      {key, events}, model -> deliver(model, key, events)
    end)
  end

  defp serve(model, partition, deals) do
    case {queue(model, partition), first(model, keys(model, partition))} do
      {[{:mark, message} | queue], _first} ->
        model |> put_queue(partition, queue) |> serve(partition, [{:mark, message} | deals])

      {[_ | _] = queue, {key, %{demand: demand}}} ->
        now = queue |> Enum.take_while(&match?({:event, _}, &1)) |> Enum.take(demand)

        model
        |> put_queue(partition, Enum.drop(queue, length(now)))
        |> spend(key, length(now))
        |> serve(partition, [{key, Enum.map(now, &elem(&1, 1))} | deals])

      {_queue, _first} ->
        {Enum.reverse(deals), model}
    end
  end

  ## Messages behind events

  defp mark(%{buffer: []} = model, message), do: pass(model, message)
  defp mark(model, message), do: %{model | buffer: model.buffer ++ [{:mark, message}]}

  defp pass(model, message) do
    case for {partition, [_ | _]} <- model.queues, do: partition do
      [] ->
        %{model | noted: [message | model.noted]}

      behind ->
        model = %{model | held_back: Map.put(model.held_back, message, length(behind))}
        Enum.reduce(behind, model, &put_queue(&2, &1, queue(&2, &1) ++ [{:mark, message}]))
    end
  end

  defp let_by(model, message) do
    case model.held_back[message] do
      1 -> %{model | noted: [message | model.noted], held_back: Map.delete(model.held_back, message)}
      n -> %{model | held_back: Map.put(model.held_back, message, n - 1)}
    end
  end

  ## Deliveries

  defp deliver(model, key, events) do
    case model.subscribers do
      %{^key => %{in?: true} = subscriber} ->
        case filter(subscriber, events) do
          :failed -> expel(model, key, :filter_failed)
          wanted -> model |> got(key, wanted) |> unwanted(key, length(events) - length(wanted))
        end

      %{} ->
        model
    end
  end

  defp unwanted(model, _key, 0), do: model

  defp unwanted(model, key, n) do
    partition = model.subscribers[key].partition
    credited = if queue(model, partition) == [], do: [], else: [partition]
    credit(%{model | flow?: true, credited: credited ++ model.credited}, key, n)
  end

  defp got(model, key, events), do: %{model | got: Map.update(model.got, key, events, &(&1 ++ events))}

  defp filter(%{filter: nil}, events), do: events

  defp filter(%{filter: filter}, events) do
    Enum.filter(events, filter)
  rescue
    _error -> :failed
  end
end
