use std::{
    sync::{Arc, mpsc::channel},
    time::Instant,
};

use stagewright_core::Batch;

use super::{Question, Route, Unanswered, queue::Queue};

fn question(rows: u32) -> Question {
    Question { rows: Batch { rows, columns: Vec::new() }, deadline: Instant::now(), reply: Box::new(|_| ()) }
}

fn rows(taken: Option<Vec<Question>>) -> Option<Vec<u32>> {
    taken.map(|taken| taken.iter().map(|question| question.rows.rows).collect())
}

#[test]
fn waiting_questions_are_taken_together_up_to_the_rows_that_are_asked_for() {
    let queue = Queue::new(10);
    let mut held = Some(());
    for rows in [1, 2, 3, 100, 1] {
        assert!(queue.push(question(rows), true).is_ok());
    }
    assert_eq!(rows(queue.take(5, &mut held)), Some(vec![1, 2]));
    assert_eq!(rows(queue.take(5, &mut held)), Some(vec![3]));
    // One that is larger than asked for is still taken, alone.
    assert_eq!(rows(queue.take(5, &mut held)), Some(vec![100]));
    assert_eq!(rows(queue.take(1, &mut held)), Some(vec![1]));
}

#[test]
fn a_full_queue_takes_no_more_and_a_closed_one_gives_out_what_waits() {
    let queue = Queue::new(2);
    let mut held = Some(());
    assert!(queue.push(question(1), true).is_ok() && queue.push(question(1), true).is_ok());
    assert_eq!(queue.push(question(1), true).map_err(|(_, why)| why), Err(Unanswered::Busy { waiting: 2 }));
    queue.close();
    assert_eq!(queue.push(question(1), true).map_err(|(_, why)| why), Err(Unanswered::Stopping));
    assert_eq!(rows(queue.take(10, &mut held)), Some(vec![1, 1]));
    assert_eq!(rows(queue.take(10, &mut held)), None);
}

#[test]
fn a_thread_that_waits_gets_what_comes_and_ends_when_the_queue_is_closed() {
    let queue = Arc::new(Queue::new(10));
    queue.add(());
    let (sender, receiver) = channel();
    let takes = Arc::clone(&queue);
    let thread = std::thread::spawn(move || {
        let mut held = None;
        while let Some(taken) = takes.take(1, &mut held) {
            sender.send(taken.len()).unwrap();
        }
    });
    for _ in 0..3 {
        assert!(queue.push(question(1), true).is_ok());
        assert_eq!(receiver.recv(), Ok(1));
    }
    queue.close();
    thread.join().unwrap();
}

#[test]
fn whoever_answers_in_between_needs_an_instance_that_nobody_uses() {
    let queue = Queue::new(10);
    assert!(queue.push(question(1), false).is_ok() && queue.push(question(1), false).is_ok());
    let (mut mine, mut others) = (None, None);
    assert!(queue.take_now(10, &mut mine).is_none());
    queue.add(());
    assert_eq!(rows(queue.take_now(1, &mut mine)), Some(vec![1]));
    assert!(queue.take_now(1, &mut others).is_none() && others.is_none());
    let again = vec![question(7)];
    assert!(queue.put_back(again).is_ok());
    assert_eq!(rows(queue.take_now(10, &mut mine)), Some(vec![7, 1]));
    assert!(queue.take_now(10, &mut mine).is_none() && mine.is_none());
    queue.close();
    assert!(queue.put_back(vec![question(1)]).is_err());
}

#[test]
fn an_endpoint_without_models_chooses_none() {
    let route = Route { name: "income".into(), variants: Vec::new(), shadows: Vec::new(), live: None };
    let (answers, shadows) = route.choose("request");
    assert!(answers.is_none() && shadows.is_none() && route.version(1).is_none());
}
