// Follows a running environment: asks for what has come since, and shows the newest unless one looks back.

const EVERY = 200, PATIENCE = 25; // ms between questions, questions without an answer until it counts as closed
const badge = document.createElement("b");
badge.id = "live";
byId("clock").after(badge);
let unanswered = 0;

function append(news) {
  const { series } = DATA.policies[0], newest = state.t >= T - 1;
  // Another episode, or so much later that moments between are no longer kept.
  if (news.episode !== DATA.episode || news.lead !== DATA.lead + T) {
    Object.assign(DATA, { episode: news.episode, start_hour: news.start_hour, lead: news.lead });
    for (const columns of Object.values(series)) for (const column of columns) column.length = 0;
    T = 0;
  }
  DATA.policies[0].name = news.name;
  if (!news.steps) return;
  for (const [name, columns] of Object.entries(news.series)) {
    columns.forEach((column, k) => { for (const x of column) series[name][k].push(x ?? NaN); });
  }
  T += news.steps;
  refresh();
  seek(newest && !state.playing ? T - 1 : state.t);
}

async function follow() {
  try {
    const answer = await fetch(`frames?episode=${DATA.episode}&since=${DATA.lead + T}`, { cache: "no-store" });
    if (!answer.ok) throw new Error(answer.statusText);
    append(await answer.json());
    unanswered = 0;
  } catch (error) {
    unanswered += 1;
  }
  document.body.classList.toggle("moving", unanswered === 0);
  badge.textContent = unanswered === 0 ? "live" : unanswered < PATIENCE ? "waiting" : "closed";
  if (unanswered < PATIENCE) setTimeout(follow, EVERY);
}

// What is not finite has come as null.
for (const columns of Object.values(DATA.policies[0].series)) {
  for (const column of columns) column.forEach((x, k) => { column[k] = x ?? NaN; });
}
refresh();
seek(T - 1);
follow();
