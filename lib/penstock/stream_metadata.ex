defmodule Penstock.StreamMetadata do
  @moduledoc """
  What is set for a stream: how much of it can be read, who may do what, and whatever else its users keep there.

  - `max_count`: only so many of its last events can be read
  - `max_age`: only events not older than so many seconds can be read
  - `truncate_before`: only events from this revision on can be read
  - `cache_control`: how long its pages may be cached, in seconds (for servers that are read over HTTP)
  - `acl`: who may do what: a map with the keys `:read`, `:write`, `:delete`, `:meta_read` and `:meta_write`, each with a user,
    a group (`"$admins"`, `"$ops"`, `"$all"`) or a list of them; a right that it has not is as the server's default says
  - `custom`: anything else, a map with strings as keys, of values that JSON has
  - `revision`: of metadata that was read, its own revision; nil when nothing is set

  All but `custom` (`%{}`) are nil unless they are set. What a limit hides comes back when the limit is lifted, until the
  server is cleaned up (scavenged).

  Servers pass by what they cannot read, so a limit that is none is refused here; what another program has written is read
  as it is as far as possible: a limit of a wrong form is none, as it is none for the server.
  """

  alias Penstock.{Error, Event, Json}

  defstruct [:max_count, :max_age, :truncate_before, :cache_control, :acl, :revision, custom: %{}]

  @type who :: String.t() | [String.t()]
  @type t :: %__MODULE__{
          max_count: pos_integer | nil,
          max_age: pos_integer | nil,
          truncate_before: non_neg_integer | nil,
          cache_control: pos_integer | nil,
          acl: %{optional(:read | :write | :delete | :meta_read | :meta_write) => who} | nil,
          custom: %{optional(String.t()) => term},
          revision: non_neg_integer | nil
        }

  @most 0x7FFF_FFFF_FFFF_FFFF
  @limits [max_count: {"$maxCount", 1}, max_age: {"$maxAge", 1}, truncate_before: {"$tb", 0}] ++
            [cache_control: {"$cacheControl", 1}]
  @rights [read: "$r", write: "$w", delete: "$d", meta_read: "$mr", meta_write: "$mw"]
  @acl "$acl"
  @own [@acl | Enum.map(@limits, fn {_field, {key, _least}} -> key end)]

  @doc false
  # Of the last event of the stream's metadata stream.
  @spec of(Event.t() | nil) :: {:ok, t} | {:error, Error.t()}
  def of(nil), do: {:ok, %__MODULE__{}}

  def of(%Event{body: body} = event) do
    case Json.decode(body) do
      {:ok, %{} = set} ->
        {:ok, %{read(set) | revision: Event.revision(event)}}

      _ ->
        message =
          "the metadata of a stream is no JSON object, which sets nothing: revision #{Event.revision(event)} of " <>
            "#{inspect(Event.stream_name(event))}"

        {:error, %Error{reason: :protocol, message: message, details: %{revision: Event.revision(event)}}}
    end
  end

  defp read(set) do
    limits = for {field, {key, least}} <- @limits, limit?(set[key], least), into: %{}, do: {field, set[key]}

    struct!(%__MODULE__{acl: acl(set[@acl]), custom: Map.drop(set, @own)}, limits)
  end

  defp acl(%{} = acl),
    do: for({field, key} <- @rights, is_map_key(acl, key), into: %{}, do: {field, acl[key]})

  defp acl(_none), do: nil

  defp limit?(value, least), do: is_integer(value) and value in least..@most

  @doc false
  # What is appended to the metadata stream; an `ArgumentError` names what no server would take as it is meant.
  @spec to_event!(t) :: Event.t()
  def to_event!(%__MODULE__{} = metadata) do
    limits =
      for {field, {key, least}} <- @limits, (value = Map.fetch!(metadata, field)) != nil, into: %{} do
        unless limit?(value, least), do: refuse!(field, value, "nil or an integer from #{least} to #{@most}")
        {key, value}
      end

    acl = if metadata.acl == nil, do: %{}, else: %{@acl => rights!(metadata.acl)}
    Event.new("$metadata", metadata.custom |> custom!() |> Map.merge(limits) |> Map.merge(acl))
  end

  defp rights!(%{} = acl) when not is_struct(acl) do
    for {field, who} <- acl, into: %{} do
      key = @rights[is_atom(field) && field]

      unless key && who?(who) do
        takes = "#{inspect(Keyword.keys(@rights))} as keys, each with a string or a list of strings"
        refuse!(:acl, %{field => who}, takes)
      end

      {key, who}
    end
  end

  defp rights!(acl), do: refuse!(:acl, acl, "nil or a map")

  defp who?(who) when is_list(who), do: not List.improper?(who) and Enum.all?(who, &who?({:one, &1}))
  defp who?({:one, who}), do: is_binary(who) and String.valid?(who)
  defp who?(who), do: who?({:one, who})

  defp custom!(%{} = custom) when not is_struct(custom) do
    for {key, _value} <- custom, not is_binary(key) or key in @own do
      refuse!(:custom, %{key => custom[key]}, "strings as keys, but for #{Enum.join(@own, ", ")}")
    end

    custom
  end

  defp custom!(custom), do: refuse!(:custom, custom, "a map")

  defp refuse!(field, got, takes) do
    raise ArgumentError,
          "Penstock.StreamMetadata: #{inspect(field)} takes #{takes}, got: #{inspect(got)}"
  end
end
