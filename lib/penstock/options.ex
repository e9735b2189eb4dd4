defmodule Penstock.Options do
  @moduledoc false
  # One schema of a module's options: it validates them, names what is wrong, and writes their documentation.
  #
  # A schema is a keyword list of `option: [type: type, doc: text]` with either `required: true` or a `default:`.
  # What is wrong is said in one of three forms (`Penstock.Options.Complaint`): an exception of Penstock's, an error of
  # Penstock's, or the words that users of GenStage know.

  alias Penstock.Options.Complaint

  @type type ::
          :any
          | :boolean
          | :atom
          | :list
          | :non_neg_integer
          | :pos_integer
          | :counted
          | :milliseconds
          | :name
          | :non_empty_string
          | :keyword
          | {:integer, least :: integer, greatest :: integer | :infinity}
          # Nobody can tell a number beyond the most from that, so it is taken for it.
          | {:count, least :: integer, most :: pos_integer}
          | {:in, [term]}
          | {:or, term, type}
          | {:check, (term -> boolean), takes :: String.t()}
          # What is given is repeated nowhere.
          | {:secret, (term -> boolean), takes :: String.t()}
          # Without a message, what it takes is said. What is long to say is said by a function.
          | {:cast, (term -> {:ok, term} | {:error, message :: String.t() | nil}),
             takes :: String.t() | (() -> String.t())}
          | {:keyword, schema}
  @type schema :: [{atom, keyword}]

  # What the Rust core and servers count to.
  @most 0x7FFF_FFFF_FFFF_FFFF

  # What a timer of the VM can wait for, in ms.
  @longest 4_294_967_295

  @doc "The largest number that is counted to."
  @spec most() :: pos_integer
  def most, do: @most

  @doc "The longest time that a timer of the VM waits for, in ms."
  @spec longest() :: pos_integer
  def longest, do: @longest

  @doc "All options with their defaults as a map; raises an `ArgumentError` that names the option otherwise."
  @spec validate!(term, schema, String.t()) :: map
  def validate!(options, schema, owner) do
    case validate(options, schema) do
      {:ok, settings} -> settings
      {:error, wrong} -> raise ArgumentError, Complaint.of_owner(wrong, owner)
    end
  end

  @doc "All options with their defaults as a map, or what is wrong; options that the schema has not are wrong."
  @spec validate(term, schema) :: {:ok, map} | {:error, Complaint.t()}
  def validate(options, schema) do
    with :ok <- keywords(options),
         :ok <- known(options, schema),
         {:ok, settings, []} <- take(options, schema),
         do: {:ok, settings}
  end

  defp keywords(options),
    do: if(Keyword.keyword?(options), do: :ok, else: {:error, Complaint.new(:no_list, nil, options)})

  defp known(options, schema) do
    case Keyword.keys(options) -- Keyword.keys(schema) do
      [] ->
        :ok

      [name | _] ->
        kind = if Keyword.has_key?(schema, name), do: :twice, else: :unknown
        {:error, %{Complaint.new(kind, name, options[name]) | schema: schema}}
    end
  end

  @doc "Those that the schema has as a map with the defaults, and the others; of options given twice the first counts."
  @spec take(keyword, schema) :: {:ok, map, rest :: keyword} | {:error, Complaint.t()}
  def take(options, schema) do
    settings =
      Enum.reduce_while(schema, %{}, fn {name, spec}, settings ->
        case fetch(options, name, spec) do
          {:ok, value} -> {:cont, Map.put(settings, name, value)}
          {:error, wrong} -> {:halt, {:error, wrong}}
        end
      end)

    with %{} <- settings, do: {:ok, settings, Keyword.drop(options, Keyword.keys(schema))}
  end

  defp fetch(options, name, spec) do
    case Keyword.fetch(options, name) do
      {:ok, value} ->
        check(spec[:type], value, name)

      :error ->
        if spec[:required],
          do: {:error, %{Complaint.new(:required, name, nil) | type: spec[:type]}},
          else: default(spec[:type], spec[:default], name)
    end
  end

  # What becomes something else than what is given has a default that does so too.
  defp default({kind, _} = type, default, name) when kind == :keyword, do: check(type, default, name)
  defp default({:cast, _, _} = type, default, name), do: check(type, default, name)
  defp default(_type, default, _name), do: {:ok, default}

  defp check({:keyword, schema}, value, name) do
    with {:error, wrong} <- validate(value, schema), do: {:error, Complaint.within(wrong, name)}
  end

  defp check({:or, other, _type}, other, _name), do: {:ok, other}

  defp check({:or, _other, type} = either, value, name) do
    with {:error, wrong} <- check(type, value, name), do: {:error, %{wrong | type: either}}
  end

  defp check({:cast, cast, _takes} = type, value, name) do
    case cast.(value) do
      {:ok, made} -> {:ok, made}
      {:error, message} -> {:error, %{wrong(type, value, name) | message: message}}
    end
  end

  defp check({:count, _least, most} = type, value, name),
    do: if(valid?(type, value), do: {:ok, min(value, most)}, else: {:error, wrong(type, value, name)})

  defp check(type, value, name),
    do: if(valid?(type, value), do: {:ok, value}, else: {:error, wrong(type, value, name)})

  defp wrong(type, value, name), do: %{Complaint.new(:wrong, name, value) | type: type}

  defp valid?(:any, _), do: true
  defp valid?(:boolean, value), do: is_boolean(value)
  defp valid?(:atom, value), do: is_atom(value)
  defp valid?(:list, value), do: is_list(value)
  defp valid?(:non_neg_integer, value), do: is_integer(value) and value >= 0
  defp valid?(:pos_integer, value), do: is_integer(value) and value > 0
  defp valid?(:counted, value), do: is_integer(value) and value in 1..@most
  defp valid?(:milliseconds, value), do: value == :infinity or (is_integer(value) and value in 0..@longest)
  defp valid?(:name, value), do: name?(value)
  defp valid?(:non_empty_string, value), do: is_binary(value) and value != "" and String.valid?(value)
  defp valid?(:keyword, value), do: Keyword.keyword?(value)
  # An atom is greater than every number.
  defp valid?({:integer, least, greatest}, value),
    do: is_integer(value) and value >= least and value <= greatest

  defp valid?({:count, least, _most}, value), do: is_integer(value) and value >= least
  defp valid?({:in, values}, value), do: value in values
  defp valid?({:check, check, _}, value), do: check.(value)
  defp valid?({:secret, check, _}, value), do: check.(value)

  @doc "What is said of a value that looks like what is wanted: a charlist, bytes that are no text, a number beyond 64 bits."
  @spec hint(term) :: String.t()
  defdelegate hint(value), to: Complaint

  # Names that mean something else, or nothing.
  @no_names [nil, true, false, :undefined]

  @doc "Whether a process can have this name."
  @spec name?(term) :: boolean
  def name?(name) when is_atom(name), do: name not in @no_names
  def name?({:global, _name}), do: true
  def name?({:via, module, _name}), do: registry?(module)
  def name?(_other), do: false

  defp registry?(module) when is_atom(module) and module not in @no_names,
    do: Code.ensure_loaded?(module) and function_exported?(module, :whereis_name, 1)

  defp registry?(_other), do: false

  @doc "The schema as a list for a moduledoc."
  @spec docs(schema) :: String.t()
  def docs(schema) do
    Enum.map_join(schema, "\n", fn {name, spec} ->
      "  * `#{inspect(name)}` - #{if spec[:required], do: "(required) "}#{spec[:doc]} " <>
        "Takes #{Complaint.takes(spec[:type])}.#{unless spec[:required], do: " The default is `#{inspect(spec[:default])}`."}"
    end)
  end
end
