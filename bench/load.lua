-- The workloads, for wrk: wrk --script load.lua … URL -- WORKLOAD BOOK_ID…
-- The last line of the output is the counts, as JSON.

local documents = {
  book = 'query Book($id: ID!) { book(id: $id) { id title isbn13 publishedYear language } }',
  books = '{ books(first: 50) { nodes { id title authors { id name } } } }',
  create = 'mutation Create($input: CreateBookInput!) { createBook(input: $input) { id } }',
}

local variables = {
  book = function(number) return ('{"id":"%s"}'):format(ids[number % #ids + 1]) end,
  books = function() return '{}' end,
  create = function(number)
    local input = '{"input":{"title":"Book %d","pages":%d,"authors":[{"name":"Author %d"}]}}'
    return input:format(number, number % 1000 + 1, number % 100)
  end,
}

local threads = {}

function setup(thread)
  table.insert(threads, thread)
end

-- Globals: `done` runs in a state of its own and can ask a thread only for these.
function init(arguments)
  workload, ids = arguments[1], { unpack(arguments, 2) }
  asked, wrong, example = 0, 0, ''
end

function request()
  asked = asked + 1
  local body = ('{"query":"%s","variables":%s}'):format(
    documents[workload], variables[workload](asked))
  return wrk.format('POST', nil, { ['Content-Type'] = 'application/json' }, body)
end

function response(status, _, body)
  local is_right = status == 200 and not body:find('"errors":', 1, true)
    and not body:find('"book":null', 1, true)
  if not is_right then
    wrong = wrong + 1
    example = status .. ' ' .. body:sub(1, 200)
  end
end

function done(summary, latency)
  local all_wrong, an_example = 0, ''
  for _, thread in ipairs(threads) do
    all_wrong = all_wrong + thread:get('wrong')
    if an_example == '' then an_example = thread:get('example') end
  end
  local broken = summary.errors.connect + summary.errors.read + summary.errors.write
    + summary.errors.timeout
  local counts = '{"requests":%d,"seconds":%f,"wrong":%d,"broken":%d,"p50_us":%d}'
  io.write(an_example, '\n')
  io.write(counts:format(summary.requests, summary.duration / 1e6, all_wrong, broken,
    latency:percentile(50)), '\n')
end
